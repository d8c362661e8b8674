"""Query and download the archive."""

from prefect import flow

from lesion_core.types import ArchiveSource, Slug, SnapshotRef
from tasks.ingest import ingest_images


@flow(name="ingest", flow_run_name="ingest-{name}")
def ingest_flow(source: ArchiveSource, name: Slug = "isic") -> SnapshotRef:
    """Bring the wanted images of an ISIC archive into the store.

    Only what is missing is transferred. Every image left out is listed with its reason, and the run fails
    where more are missing than the source's tolerance allows.
    """
    return ingest_images(source, name)
