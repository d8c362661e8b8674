"""From a source to a snapshot: list, choose, download, check, publish."""

import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path

from lesion_core.isic.api.transport import Patience
from lesion_core.isic.ingest.assembly import assemble
from lesion_core.isic.ingest.fetch import fetch_shard
from lesion_core.isic.ingest.holdings import earlier_tables
from lesion_core.isic.listing.listing import list_archive
from lesion_core.isic.source import ArchiveSource
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.refs import ShardRef, SnapshotRef
from lesion_core.stores.folders import utc_now
from lesion_core.stores.protocol import Store


def ingest(
    source: ArchiveSource,
    store: Store,
    *,
    name: str = "isic",
    workdir: Path | None = None,
    on_progress: ProgressCallback = ignore_progress,
    patience: Patience | None = None,
    clock: Callable[[], datetime.datetime] = utc_now,
) -> SnapshotRef:
    """Bring the wanted images of an archive into the store and return the snapshot of them.

    The listing is always read; only what the store lacks is transferred. Neither the listing nor what becomes of it
    is ever held in memory whole.

    Args:
        source: Which images, from where, and how many may be missing.
        store: Where to.
        name: Under which name snapshots are kept.
        workdir: Local folder for copies of earlier tables; a temporary one where none is given.
        on_progress: Called with stages 'list' and 'download'.
        patience: Time limits and retries.
        clock: Time of publication.

    Raises:
        ConfigError: The archive has nothing that matches.
        ManifestError: It has, but nothing that can be used.
        ShortfallError: More images than ``source.tolerance`` did not arrive usable; the others are stored.
        SourceUnavailable: The archive does not answer (transient).
        SourceResponseError: The archive refuses the query, or breaks its contract.
    """
    listing = list_archive(source, store, name=name, on_progress=on_progress, patience=patience)
    with tempfile.TemporaryDirectory(prefix="lesion-ingest-") as scratch:
        tables = earlier_tables(store, name, workdir or Path(scratch))
        shards: list[ShardRef] = []
        for number in range(listing.n_shards):
            n_before = sum(shard.n_arrived + shard.n_missing for shard in shards)
            news = _counting_on(on_progress, n_before, listing.n_images)
            shards.append(
                fetch_shard(source, listing, number, store, tables=tables, on_progress=news, patience=patience)
            )
    return assemble(source, listing, shards, store, clock=clock)


def _counting_on(on_progress: ProgressCallback, n_before: int, n_wanted: int) -> ProgressCallback:
    def show(news: Progress) -> None:
        on_progress(news.model_copy(update={"done": n_before + news.done, "total": n_wanted}))

    return show
