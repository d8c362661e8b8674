"""What changed in the archive?"""

from prefect import flow

from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.watch.watcher import WatchReport
from lesion_core.types import Slug
from tasks.ingest import list_archive
from tasks.monitoring import watch_archive


@flow(name="monitor", flow_run_name="monitor-{name}")
def monitor_flow(source: ArchiveSource, name: Slug = "isic", accept: tuple[str, ...] = ()) -> WatchReport:
    """Compare the archive with the last snapshot of a name: new, withdrawn, relabelled, re-licensed images, fields.

    Nothing is downloaded or trained. Withdrawn images are noted, and every later dataset is without them.

    Args:
        source: Which images; only a snapshot of the same query, collections and ids is compared.
        name: Under which name snapshots are kept: the dataset of the recipe.
        accept: Changes of the archive's schema that are known and meant, by the names that the message gave.

    Raises:
        SchemaDrift: Fields are missing, or images would lose class or site; the message holds the diff.
    """
    return watch_archive(source, list_archive(source, name), accept)
