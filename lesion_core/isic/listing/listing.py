"""What an archive lists of a source, kept in the store in shards, before any image is transferred."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lesion_core.archive_fields import IMAGE_ID
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.listing.catalogue import Catalogue
from lesion_core.isic.listing.reading import Reading
from lesion_core.isic.listing.routes import read_listing
from lesion_core.isic.listing.selection import Choice, Selection, filters_of, select
from lesion_core.isic.placeholders import Crowds
from lesion_core.isic.snapshot import ISSUES_NAME, ISSUES_SCHEMA, Issue, read_parquet
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.statements import Statement, statement_from_row
from lesion_core.isic.taxonomy import TAXONOMY_VERSION, is_of_diagnosis
from lesion_core.isic.version import STEP_VERSION
from lesion_core.keys import digest_of, listing_key
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.refs import ListingRef
from lesion_core.stores.filesystem import translated
from lesion_core.stores.folders import get_index, publish, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, ref_from_folder
from lesion_core.types import JsonDict

STEP = "list"
SHARD_IMAGES = 1000
_MOST_ROWS_A_WANTED = 20  # a sample's images lie far apart: its shards hold many rows that are not wanted
_SKIPPED_BY = {
    "pages": "its pages skip rows that were added in one moment (listing: bulk does not)",
    "bulk": "its bulk table lacks the others",
}
LISTING_SCHEMA = pa.schema(
    [
        pa.field("isic_id", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("attribution", pa.string(), nullable=False),
        pa.field("facts", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("diagnosis", pa.string()),
        pa.field("is_wanted", pa.bool_(), nullable=False),
        pa.field("field", pa.string()),
        pa.field("value", pa.string()),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One row of a listing's shard.

    Attributes:
        facts: Canonical JSON of the archive's metadata (``statements``).
        url: Where the file is; ``None`` where the archive names none.
        diagnosis: The class; ``None`` where it is none of the classes.
        is_wanted: Whether it is to be downloaded.
        field: What is in the way, if anything is; ``value`` and ``reason`` say more.
    """

    isic_id: str
    licence: str
    attribution: str
    facts: str
    url: str | None
    diagnosis: str | None
    is_wanted: bool
    field: str | None
    value: str | None
    reason: str | None

    @property
    def statement(self) -> Statement:
        """What the archive says of it."""
        return statement_from_row(self.isic_id, self.licence, self.attribution, self.facts)

    @property
    def issue(self) -> Issue | None:
        """Why it is left out, if it is for a reason of its own."""
        if self.field is None:
            return None
        stage: Literal["label", "metadata"] = "label" if is_of_diagnosis(self.field) else "metadata"
        return Issue(self.isic_id, stage, "excluded", self.field, self.value or "", self.reason or "")


def list_archive(
    source: ArchiveSource,
    store: Store,
    *,
    name: str = "isic",
    shard_images: int = SHARD_IMAGES,
    on_progress: ProgressCallback = ignore_progress,
    patience: Patience | None = None,
) -> ListingRef:
    """Read what the archive says now of a source, choose, and keep it in the store; return its reference.

    Memory does not grow with the listing. The same statements, choices and addresses give the same listing.

    Args:
        source: Which images, from where.
        store: Where to.
        name: Under which name listings are kept.
        shard_images: Wanted images in a shard, so in one task.
        on_progress: Gets the stage 'list'.
        patience: Time limits and retries.

    Raises:
        ConfigError: The archive has nothing that matches.
        ManifestError: It has, but nothing that can be used.
        SourceUnavailable: The archive does not answer (transient).
        SourceResponseError: It refuses the query, or breaks its contract.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lesion-listing-") as folder,
        Catalogue(Path(folder) / "catalogue.sqlite") as catalogue,
    ):
        with ArchiveClient(source.url, connections=1, patience=patience) as client:
            reading = read_listing(client, source, catalogue, on_progress)
        message = "; ".join([reading.route, *reading.notes])
        on_progress(Progress(stage="list", done=len(catalogue), total=len(catalogue), message=message))
        losses = _losses(reading, source, catalogue)
        return _publish(store, name, select(catalogue, source), reading, losses, shard_images, Path(folder))


def scope_of(source: ArchiveSource) -> JsonDict:
    """Return what a source asks an archive for, without its address: only listings of one scope can be compared."""
    return {
        "query": (source.query or "").strip() or None,
        "collections": sorted(source.collections),
        "ids": sorted(source.ids),
    }


def read_shard(store: Store, listing: ListingRef, number: int) -> Iterator[ListedImage]:
    """Yield the images of one shard, sorted by id.

    Raises:
        ArtifactNotFound: There is no such listing or shard.
        ArtifactCorrupt: Its bytes are not those that were published.
    """
    for row in read_parquet(read_file(store, listing, shard_name(number))):
        yield ListedImage(**row)


def read_statements(store: Store, listing: ListingRef) -> Iterator[Statement]:
    """Yield what the archive said of every listed image, wanted or not, sorted by id, one shard in memory at a time.

    Raises as ``read_shard`` does.
    """
    for number in range(listing.n_shards):
        for image in read_shard(store, listing, number):
            yield image.statement


def read_losses(store: Store, listing: ListingRef) -> list[Issue]:
    """Return what the archive counts, or was asked for, and does not list. Raises as ``read_shard`` does."""
    return [Issue(**row) for row in read_parquet(read_file(store, listing, ISSUES_NAME))]


def read_crowds(store: Store, listing: ListingRef) -> Crowds:
    """Return the ids that too many of the listed images have (``placeholders``). Raises as ``read_shard`` does."""
    _, index = get_index(store, listing)
    return dict(index.inputs.get("crowds", {}))  # none in a listing of before


def shard_name(number: int) -> str:
    """Return the name of a shard within the listing's folder."""
    return f"shards/{number:05d}.parquet"


def _losses(reading: Reading, source: ArchiveSource, catalogue: Catalogue) -> tuple[int, list[Issue]]:
    """Return how many images should be in the listing and are not, and an issue for each kind or id."""
    unlisted = [
        Issue(isic_id, "download", "excluded", IMAGE_ID, isic_id, _why_unlisted(isic_id, reading, source))
        for isic_id in catalogue.missing_of(source.ids)
    ]
    issues, n_listed = [*unlisted], len(catalogue)
    again = f", in each of {reading.n_readings} readings" if reading.n_readings > 1 else ""
    if reading.n_short:
        counted = f"the archive counted {reading.n_stated} images and listed {n_listed}{again}"
        reason = f"{counted}: {_SKIPPED_BY[reading.route]}"
        issues.append(Issue("", "metadata", "excluded", "count", str(reading.n_stated), reason))
    if reading.n_strange:
        reason = (
            f"of the files that the archive lists, {reading.n_strange} stand for images that its table lacks{again} "
            f"({', '.join(reading.strange)})"
        )
        issues.append(Issue("", "metadata", "excluded", "files", str(reading.n_strange), reason))
    return len(unlisted) + max(reading.n_short, reading.n_strange), issues


def _why_unlisted(isic_id: str, reading: Reading, source: ArchiveSource) -> str:
    """Return why an image that was asked for by its id is not listed."""
    if isic_id not in reading.left_out:
        return "the archive does not list it: unknown or not public"
    given = {"query": (source.query or "").strip(), "collections": source.collections}
    filters = " and ".join(f"the source's {name}" for name, value in given.items() if value)
    return f"the archive has it, but it does not meet {filters}: ask for it without, or leave its id out"


def _publish(
    store: Store,
    name: str,
    selection: Selection,
    reading: Reading,
    losses: tuple[int, list[Issue]],
    shard_images: int,
    scratch: Path,
) -> ListingRef:
    n_lost, issues = losses
    inputs = {
        "step": STEP,
        "step_version": STEP_VERSION,
        "taxonomy": TAXONOMY_VERSION,
        "scope": scope_of(selection.source),
        **filters_of(selection.source),
        "statements": selection.digest,
        "addresses": selection.addresses_digest,
        "shard_images": shard_images,
        "losses": digest_of([asdict(issue) for issue in issues]),
        "crowds": selection.crowds,
    }
    key = listing_key(name, digest_of(inputs))
    if (there := find_reference(store, ListingRef, key)) is not None:
        return there
    folder = scratch / "listing"
    n_shards = _write_shards(selection, shard_images, folder)
    with translated(folder):
        pq.write_table(
            pa.Table.from_pylist([asdict(issue) for issue in sorted(issues)], ISSUES_SCHEMA), folder / ISSUES_NAME
        )
    summary = {
        "n_listed": selection.n_listed,
        "n_images": selection.n_wanted,
        "n_lost": n_lost,
        "n_shards": n_shards,
    }
    inputs["credited"] = reading.credited  # said, but no part of the name: what is credited is in the statements
    index, sha256 = publish(store, key, folder, step=STEP, step_version=STEP_VERSION, inputs=inputs, summary=summary)
    return ref_from_folder(ListingRef, key, index, sha256)


def _write_shards(selection: Selection, shard_images: int, folder: Path) -> int:
    (folder / "shards").mkdir(parents=True)
    n_shards = 0
    for part in _cut(map(_row, selection.choices()), shard_images):
        with translated(folder):
            pq.write_table(pa.Table.from_pylist(part, LISTING_SCHEMA), folder / shard_name(n_shards))
        n_shards += 1
    return n_shards


def _cut(rows: Iterator[JsonDict], shard_images: int) -> Iterator[list[JsonDict]]:
    """Yield parts with so many wanted images each, and whatever lies between them, up to a bound."""
    part: list[JsonDict] = []
    n_wanted = 0
    for row in rows:
        part.append(row)
        n_wanted += row["is_wanted"]
        if n_wanted == shard_images or len(part) == _MOST_ROWS_A_WANTED * shard_images:
            yield part
            part, n_wanted = [], 0
    if part:
        yield part


def _row(choice: Choice) -> JsonDict:
    statement, obstacle = choice.row.statement, choice.obstacle
    return {
        "isic_id": statement.isic_id,
        "licence": statement.licence,
        "attribution": statement.attribution,
        "facts": choice.row.facts_json,
        "url": choice.row.url,
        "diagnosis": None if choice.diagnosis is None else str(choice.diagnosis),
        "is_wanted": choice.is_wanted,
        "field": obstacle.field if obstacle else None,
        "value": obstacle.value if obstacle else None,
        "reason": obstacle.reason if obstacle else None,
    }
