"""From an archive to a snapshot in the store: list, fetch shard by shard, publish."""

from collections.abc import Sequence

from prefect import task

from lesion_core.isic.external.labels import ExternalTest
from lesion_core.isic.external.snapshot import bring_folder
from lesion_core.isic.ingest.assembly import assemble, report_arrivals
from lesion_core.isic.ingest.fetch import fetch_shard as fetch
from lesion_core.isic.ingest.holdings import earlier_tables
from lesion_core.isic.listing.listing import list_archive as read_archive
from lesion_core.isic.source import ArchiveSource
from lesion_core.refs import ListingRef, ShardRef, SnapshotRef
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT, transfer_slot


@task(name="list-archive", **RETRY_TRANSIENT)
def list_archive(source: ArchiveSource, name: str) -> ListingRef:
    """Read what the archive says now of ``source``, and choose what is wanted."""
    settings = read_settings()
    with publish.progress("listing-progress", "Listing") as on_progress:
        return read_archive(
            source.at(settings.archive_url),
            open_store(),
            name=name,
            shard_images=settings.shard_images,
            on_progress=on_progress,
        )


@task(name="fetch-shard", task_run_name="fetch-shard-{number}", **RETRY_TRANSIENT)
def fetch_shard(source: ArchiveSource, listing: ListingRef, number: int) -> ShardRef:
    """Download what the store lacks of one shard, with its part of the source's connections."""
    settings, store = read_settings(), open_store()
    share = source.at(settings.archive_url).with_connections(source.connections // settings.shards_at_once)
    tables = earlier_tables(store, listing.name, settings.work)
    what = f"Images, part {number + 1} of {listing.n_shards}"
    with publish.progress("ingest-progress", what) as on_progress, transfer_slot(on_progress):
        return fetch(share, listing, number, store, tables=tables, on_progress=on_progress)


@task(name="publish-snapshot", **RETRY_TRANSIENT)
def publish_snapshot(source: ArchiveSource, listing: ListingRef, shards: Sequence[ShardRef]) -> SnapshotRef:
    """Report what did not arrive and why; publish the snapshot, unless too much is missing."""
    store = open_store()
    report = report_arrivals(listing, shards, store)
    publish.table(publish.INGEST_ISSUES, report.rows(), report.in_words())
    return assemble(source, listing, shards, store)


@task(name="read-external-folder", **RETRY_TRANSIENT)
def read_external_folder(test: ExternalTest) -> SnapshotRef:
    """Bring a folder of labelled images into the store; say which are left out, and why."""
    store = open_store()
    with publish.progress("external-progress", test.name) as on_progress:
        return bring_folder(test, store, on_progress=on_progress)
