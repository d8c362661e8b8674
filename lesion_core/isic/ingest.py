"""From a source to a snapshot: list, choose, download, check, publish."""

import datetime
import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lesion_core.errors import ManifestError, ShortfallError
from lesion_core.isic.fetch import fetch_shard
from lesion_core.isic.holdings import earlier_tables
from lesion_core.isic.listing import list_archive, read_losses
from lesion_core.isic.snapshot import IMAGES_NAME, ISSUES_NAME, Issue, SnapshotWriter, parquet_table, read_parquet
from lesion_core.isic.transport import Patience
from lesion_core.isic.version import STEP_VERSION
from lesion_core.keys import canonical_json, digest_of, snapshot_key
from lesion_core.stores.folders import get_index, publish, read_file, utc_now
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import (
    LICENCE_ORDER,
    ArchiveSource,
    JsonDict,
    ListingRef,
    Progress,
    ProgressCallback,
    ShardRef,
    SnapshotRef,
    ignore_progress,
)

STEP = "ingest"
_SHOWN = 5
# Of a listing's inputs, what a snapshot depends on: what is said and chosen, not where it was said.
_OF_LISTING = ("taxonomy", "licences", "classes", "limit", "seed", "statements", "losses")


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


def assemble(
    source: ArchiveSource,
    listing: ListingRef,
    shards: Sequence[ShardRef],
    store: Store,
    *,
    clock: Callable[[], datetime.datetime] = utc_now,
) -> SnapshotRef:
    """Publish the snapshot of a listing whose shards were all fetched; the same images give the same snapshot.

    Args:
        source: How many images may be missing.
        listing: What the archive lists.
        shards: What became of each of its shards, in order.
        store: Where they are, and where to.
        clock: Time of publication.

    Raises:
        ManifestError: The shards are not those of this listing.
        ShortfallError: More images than ``source.tolerance`` did not arrive usable; the others are stored.
        StoreError: The store's own.
    """
    if [(shard.listing, shard.number) for shard in shards] != [(listing.id, n) for n in range(listing.n_shards)]:
        raise ManifestError(
            f"expected the {listing.n_shards} shards of {listing.id} in order, got "
            f"{', '.join(f'{shard.number} of {shard.listing}' for shard in shards[:_SHOWN])}; fetch them again"
        )
    _check_shortfall(source, listing, shards, store)
    with tempfile.TemporaryDirectory(prefix="lesion-snapshot-") as folder:
        facts = _write(listing, shards, store, Path(folder))
        _, index = get_index(store, listing)
        inputs = {
            "step": STEP,
            "step_version": STEP_VERSION,
            **{name: index.inputs[name] for name in _OF_LISTING},
            "tolerance": source.tolerance,
            "outcome": facts.pop("outcome"),
        }
        key = snapshot_key(listing.name, digest_of(inputs))
        index, sha256 = publish(
            store,
            key,
            Path(folder),
            step=STEP,
            step_version=STEP_VERSION,
            inputs={**inputs, "scope": index.inputs["scope"], "listing": listing.id},
            summary=facts,
            clock=clock,
        )
    return ref_from_folder(SnapshotRef, key, index, sha256)


def _write(listing: ListingRef, shards: Sequence[ShardRef], store: Store, folder: Path) -> JsonDict:
    """Write both tables, one shard in memory at a time; return the snapshot's summary, and the digest of it all."""
    outcome, licences, n_images, is_synthetic = hashlib.sha256(), set[str](), 0, False
    losses = read_losses(store, listing)
    with SnapshotWriter(folder) as writer:
        writer.add_issues(losses)
        n_excluded = listing.n_lost
        for shard in shards:
            images = parquet_table(read_file(store, shard, IMAGES_NAME))
            issues = parquet_table(read_file(store, shard, ISSUES_NAME))
            writer.add(images, issues)
            outcome.update(canonical_json([images.select(["isic_id", "sha256"]).to_pylist(), issues.to_pylist()]))
            n_images += len(images)
            licences |= set(images["licence"].unique().to_pylist())
            is_synthetic |= bool(pc.any(images["is_synthetic"]).as_py())
            n_excluded += _n_excluded(issues)
    return {
        "outcome": outcome.hexdigest(),
        "n_images": n_images,
        "n_excluded": n_excluded,
        "licence": next(licence for licence in reversed(LICENCE_ORDER) if licence in licences),
        "synthetic": is_synthetic,
    }


def _n_excluded(issues: pa.Table) -> int:
    return int(pc.sum(pc.equal(issues["outcome"], "excluded")).as_py() or 0)


def _check_shortfall(source: ArchiveSource, listing: ListingRef, shards: Sequence[ShardRef], store: Store) -> None:
    n_missing = listing.n_lost + sum(shard.n_missing for shard in shards)
    n_wanted = listing.n_images + listing.n_lost
    if n_missing <= source.tolerance * n_wanted:
        return
    missing = list(missing_images(listing, shards, store))
    shown = "; ".join(f"{issue.isic_id or issue.field}: {issue.reason}" for issue in missing[:_SHOWN])
    more = f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    raise ShortfallError(
        f"expected {n_wanted} images, of which at most {source.tolerance:.2%} may be missing, but {n_missing} "
        f"({n_missing / n_wanted:.2%}) did not arrive usable ({shown}{more}). The other {n_wanted - n_missing} "
        "are stored, and a rerun asks only for what is missing; raise the source's tolerance to go on without them",
        n_missing=n_missing,
        n_wanted=n_wanted,
        isic_ids=[issue.isic_id for issue in missing if issue.isic_id],
    )


def missing_images(listing: ListingRef, shards: Sequence[ShardRef], store: Store) -> Iterator[Issue]:
    """Yield why each image that should have arrived did not: not listed, not transferred, or no picture."""
    fetched = itertools.chain.from_iterable(
        read_parquet(read_file(store, shard, ISSUES_NAME)) for shard in shards if shard.n_missing
    )
    yield from read_losses(store, listing)
    yield from (Issue(**row) for row in fetched if row["stage"] in ("download", "decode"))
