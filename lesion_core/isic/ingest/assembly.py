"""From fetched shards to a snapshot, or to the reasons why there is none."""

import datetime
import hashlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from lesion_core.errors import ManifestError, ShortfallError
from lesion_core.fields.table import key_of_later
from lesion_core.isic.listing.listing import read_losses
from lesion_core.isic.snapshot import (
    IMAGES_NAME,
    ISSUES_NAME,
    Issue,
    SnapshotWriter,
    parquet_table,
    read_parquet,
)
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.version import STEP_VERSION
from lesion_core.keys import canonical_json, digest_of, snapshot_key
from lesion_core.refs import ListingRef, ShardRef, SnapshotRef
from lesion_core.stores.folders import get_index, publish, read_file, utc_now
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import LICENCE_ORDER, JsonDict, Value

STEP = "ingest"
_SHOWN = 5
_REPORTED = 1000
_FREQUENT = 5
_NOT_ARRIVED = ("download", "decode")
_COUNTS = ("n_arrived", "n_transferred", "n_bytes", "n_missing")
# Of a listing's inputs, what a snapshot depends on: what is said and chosen, not where it was said.
_OF_LISTING = ("taxonomy", "licences", "image_types", "classes", "limit", "seed", "statements", "losses")


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
            **key_of_later(),
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
    arrived, left_out = hashlib.sha256(), hashlib.sha256()  # row by row, so that it does not matter how it was cut
    licences, n_images, is_synthetic = set[str](), 0, False
    losses = read_losses(store, listing)
    with SnapshotWriter(folder) as writer:
        writer.add_issues(losses)
        n_excluded = listing.n_lost
        for shard in shards:
            images = parquet_table(read_file(store, shard, IMAGES_NAME))
            issues = parquet_table(read_file(store, shard, ISSUES_NAME))
            writer.add(images, issues)
            for row in images.select(["isic_id", "sha256"]).to_pylist():
                arrived.update(canonical_json(row))
            for row in issues.to_pylist():
                left_out.update(canonical_json(row))
            n_images += len(images)
            licences |= set(images["licence"].unique().to_pylist())
            is_synthetic |= bool(pc.any(images["is_synthetic"]).as_py())
            n_excluded += _n_excluded(issues)
    return {
        "outcome": [arrived.hexdigest(), left_out.hexdigest()],
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


class IngestReport(Value):
    """What became of a listing, for people."""

    listing: str
    n_listed: int = Field(ge=0)
    n_wanted: int = Field(ge=0)
    n_arrived: int = Field(ge=0, description="Wanted images that are in the store")
    n_transferred: int = Field(ge=0, description="Of these, images that were transferred now")
    n_bytes: int = Field(ge=0, description="Bytes that were transferred now")
    n_missing: int = Field(ge=0, description="Wanted images that did not arrive usable")
    n_lost: int = Field(
        ge=0, description="Images that the archive counts, or that were asked for, and are not listed"
    )
    n_issues: int = Field(ge=0)
    frequent: dict[str, int] = Field(
        default_factory=dict, description="What of it is the same in most images, and in how many"
    )
    issues: tuple[JsonDict, ...] = Field(
        description="The first of them, what did not arrive before the rest, with reasons"
    )

    def rows(self) -> list[JsonDict]:
        """Return the issues as rows of a table."""
        return list(self.issues)

    def in_words(self) -> str:
        """Return one paragraph."""
        shown = f" (the first {len(self.issues):,})" if len(self.issues) < self.n_issues else ""
        return (
            f"{self.listing}: {self.n_listed:,} images listed, {self.n_wanted:,} wanted, {self.n_arrived:,} in the "
            f"store, of which {self.n_transferred:,} were transferred now ({self.n_bytes / 1e6:,.1f} MB); "
            f"{self.n_missing:,} did not arrive and {self.n_lost:,} are not listed. Left out or unknown, with reasons"
            f": {self.n_issues:,}{shown}{self._frequent_in_words()}"
        )

    def _frequent_in_words(self) -> str:
        words = "; ".join(f"{n:,} × {what}" for what, n in self.frequent.items())
        return f". Most frequent: {words}" if words else ""


def report_arrivals(listing: ListingRef, shards: Sequence[ShardRef], store: Store) -> IngestReport:
    """Return what became of a listing, what did not arrive first; raises as the store does."""
    issues = [asdict(issue) for issue in itertools.islice(missing_images(listing, shards, store), _REPORTED)]
    n_issues, counted = len(read_losses(store, listing)), Counter[str]()
    for shard in shards:
        table = parquet_table(read_file(store, shard, ISSUES_NAME))
        n_issues += len(table)
        counted.update(f"{row['field']} {row['value']!r} {row['reason']}" for row in table.to_pylist())
        others = table.filter(pc.invert(pc.is_in(table["stage"], pa.array(_NOT_ARRIVED))))
        issues += others.slice(0, max(0, _REPORTED - len(issues))).to_pylist()
    return IngestReport(
        listing=listing.id,
        n_listed=listing.n_listed,
        n_wanted=listing.n_images,
        n_lost=listing.n_lost,
        n_issues=n_issues,
        frequent={what: n for what, n in counted.most_common(_FREQUENT) if n > 1},
        issues=tuple(issues),
        **{name: sum(getattr(shard, name) for shard in shards) for name in _COUNTS},
    )


def missing_images(listing: ListingRef, shards: Sequence[ShardRef], store: Store) -> Iterator[Issue]:
    """Yield why each image that should have arrived did not: not listed, not transferred, or no image."""
    fetched = itertools.chain.from_iterable(
        read_parquet(read_file(store, shard, ISSUES_NAME)) for shard in shards if shard.n_missing
    )
    yield from read_losses(store, listing)
    yield from (Issue(**row) for row in fetched if row["stage"] in _NOT_ARRIVED)
