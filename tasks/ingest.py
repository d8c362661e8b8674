"""From an archive to a snapshot in the store."""

from prefect import task

from lesion_core.isic.ingest import ingest
from lesion_core.isic.snapshot import read_issues
from lesion_core.types import ArchiveSource, SnapshotRef
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT


@task(name="ingest-images", **RETRY_TRANSIENT)
def ingest_images(source: ArchiveSource, name: str) -> SnapshotRef:
    """Download what ``source`` wants and the store lacks; return the snapshot of it."""
    settings, store = read_settings(), open_store()
    with publish.progress("ingest-progress", "Images") as on_progress:
        snapshot = ingest(source.at(settings.archive_url), store, name=name, on_progress=on_progress)
    issues = read_issues(store, snapshot, settings.work)
    publish.table(
        publish.INGEST_ISSUES, issues.to_dict("records"), f"Left out or unknown, with reasons: {snapshot.id}"
    )
    return snapshot
