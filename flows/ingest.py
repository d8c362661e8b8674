"""Query and download the archive."""

from typing import cast

from prefect import flow, unmapped
from prefect.utilities.annotations import quote

from lesion_core.isic.source import ArchiveSource
from lesion_core.refs import SnapshotRef
from lesion_core.types import Slug
from tasks.ingest import fetch_shard, list_archive, publish_snapshot
from tasks.runners import task_runner


@flow(name="ingest", flow_run_name="ingest-{name}", task_runner=task_runner())
def ingest_flow(source: ArchiveSource, name: Slug = "isic") -> SnapshotRef:
    """Bring the wanted images of an ISIC archive into the store.

    The archive is listed, and the list fetched in shards of a thousand images, several at a time, on threads or on
    a Dask cluster. Only what is missing is transferred. Every image left out is listed with its reason, and the
    run fails where more are missing than the source's tolerance allows.
    """
    listing = list_archive(source, name)
    shards = fetch_shard.map(unmapped(source), unmapped(listing), range(listing.n_shards)).result()
    return publish_snapshot(source, listing, shards)


def bring_images(source: ArchiveSource, name: Slug) -> SnapshotRef:
    """Ingest in a run of its own, for the length of which a cluster lives; return the snapshot to hand to a task.

    Quoted, so that Prefect does not note that a task's input came from a flow: of a run in which one did, its UI
    (3.8) shows no task at all.
    """
    return cast(SnapshotRef, quote(ingest_flow(source, name)))
