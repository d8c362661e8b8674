"""The archive against the last manifest."""

from prefect import task
from prefect.events import emit_event

from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.watch.watcher import WatchReport, watch
from lesion_core.refs import ListingRef
from tasks import publish
from tasks.edge import open_store, read_settings, utc_now
from tasks.policies import RETRY_TRANSIENT


@task(name="watch-archive", **RETRY_TRANSIENT)
def watch_archive(source: ArchiveSource, listing: ListingRef, accept: tuple[str, ...]) -> WatchReport:
    """Compare a listing with the last snapshot's; show what changed, note withdrawn images, stop at schema drift."""
    with publish.progress("watch-progress", "Images that are gone") as on_progress:
        at = source.at(read_settings().archive_url)
        report = watch(at, listing, open_store(), accept=accept, clock=utc_now, on_progress=on_progress)
    publish.table(publish.ARCHIVE_CHANGES, report.rows(), report.in_words())
    publish.markdown(publish.ARCHIVE_DRIFT, report.drift_in_words(), report.in_words())
    if report.has_changes:
        _announce(listing.name, report)
    report.require_steady()
    return report


def _announce(name: str, report: WatchReport) -> None:
    emit_event(
        event="lesion.archive.changed",
        resource={"prefect.resource.id": f"lesion.archive.{name}", "prefect.resource.name": name},
        payload={
            "listing": report.current,
            "previous": report.previous,
            "summary": report.in_words(),
            "withdrawn": list(report.withdrawn),
            "drift": sorted({each.name for each in report.drift}),
        },
    )
