"""The tables of a snapshot: what arrived, and what was left out or set to unknown, with reasons."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lesion_core.fields.columns import value_columns
from lesion_core.isic.taxonomy import Unmapped
from lesion_core.parquet import read_frame, read_table
from lesion_core.refs import SnapshotRef
from lesion_core.stores.filesystem import translated
from lesion_core.stores.folders import materialise
from lesion_core.stores.protocol import Store
from lesion_core.types import JsonDict, StoreKey

IMAGES_NAME = "images.parquet"
ISSUES_NAME = "issues.parquet"


def _text(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False)


IMAGES_SCHEMA = pa.schema(
    [
        _text("isic_id"),
        _text("sha256"),
        _text("image_key"),
        pa.field("n_bytes", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("diagnosis", pa.string()),
        *value_columns(),
        pa.field("lesion_id", pa.string()),
        pa.field("patient_id", pa.string()),
        _text("licence"),
        _text("attribution"),
        pa.field("confirm_type", pa.string()),
        pa.field("is_synthetic", pa.bool_(), nullable=False),
        pa.field("etag", pa.string()),
        _text("raw_metadata"),
    ]
)
_ISSUE_COLUMNS = ("isic_id", "stage", "outcome", "field", "value", "reason")
ISSUES_SCHEMA = pa.schema([_text(name) for name in _ISSUE_COLUMNS])


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image that arrived and decodes: a row of ``images.parquet``.

    Attributes:
        width: Pixels, as shown (after orientation).
        height: Pixels.
        metadata: What is known of the patient, by the name of the field; ``None`` is unknown.
        etag: The version tag that the archive's server gave with the bytes, if it did.
        raw_metadata: Canonical JSON of all facts that the archive states, one flat mapping (``statements``).
    """

    isic_id: str
    sha256: str
    image_key: str
    n_bytes: int
    width: int
    height: int
    diagnosis: str | None
    metadata: Mapping[str, float | str | None]
    lesion_id: str | None
    patient_id: str | None
    licence: str
    attribution: str
    confirm_type: str | None
    is_synthetic: bool
    etag: str | None
    raw_metadata: str

    def cells(self) -> JsonDict:
        """Return the row by columns."""
        cells = asdict(self)
        return {**cells, **cells.pop("metadata")}


@dataclass(frozen=True, slots=True, order=True)
class Issue:
    """Why one image was left out, or one of its values is not used: a row of ``issues.parquet``."""

    isic_id: str
    stage: Literal["download", "decode", "label", "metadata"]
    outcome: Literal["excluded", "set to unknown"]
    field: str
    value: str
    reason: str

    @classmethod
    def of_value(cls, isic_id: str, unmapped: Unmapped) -> "Issue":
        """A value outside the vocabulary, set to unknown."""
        return cls(isic_id, "metadata", "set to unknown", unmapped.field, unmapped.value, unmapped.reason)


def write_tables(folder: Path, images: Iterable[ImageRow], issues: Sequence[Issue]) -> None:
    """Write both tables, each sorted by id; raises ``StoreRefused`` where there is no room."""
    rows = sorted(images, key=lambda row: row.isic_id)
    with SnapshotWriter(folder) as writer:
        writer.add(
            pa.Table.from_pylist([row.cells() for row in rows], IMAGES_SCHEMA),
            pa.Table.from_pylist([asdict(issue) for issue in sorted(issues)], ISSUES_SCHEMA),
        )


class SnapshotWriter:
    """Writes both tables piece by piece; pieces come in the order of ids.

    Args:
        folder: Where to; both files are there when the ``with`` block ends.

    Raises ``StoreRefused`` where there is no room.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with translated(folder):
            self._images = pq.ParquetWriter(folder / IMAGES_NAME, IMAGES_SCHEMA)
            self._issues = pq.ParquetWriter(folder / ISSUES_NAME, ISSUES_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with translated(self._folder):
            self._images.close()
            self._issues.close()

    def add(self, images: pa.Table, issues: pa.Table) -> None:
        """Write what became of some images."""
        with translated(self._folder):
            if len(images):
                self._images.write_table(images)
            if len(issues):
                self._issues.write_table(issues)

    def add_issues(self, issues: Sequence[Issue]) -> None:
        """Write reasons alone."""
        if issues:
            table = pa.Table.from_pylist([asdict(issue) for issue in sorted(issues)], ISSUES_SCHEMA)
            with translated(self._folder):
                self._issues.write_table(table)


def parquet_table(body: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table in a parquet file's bytes."""
    return read_table(body, columns)


def read_parquet(body: bytes, columns: Sequence[str] | None = None) -> Iterator[JsonDict]:
    """Yield the rows of a parquet file's bytes."""
    for batch in parquet_table(body, columns).to_batches():
        yield from batch.to_pylist()


def read_images(store: Store, snapshot: SnapshotRef | StoreKey, cache: Path) -> pd.DataFrame:
    """Return ``images.parquet``, one row per image, sorted by isic_id; missing values are NaN.

    Raises:
        ArtifactNotFound: There is no such snapshot.
        ArtifactCorrupt: Its files are not those that were published.
    """
    return read_frame(materialise(store, snapshot, cache) / IMAGES_NAME)


def read_issues(store: Store, snapshot: SnapshotRef | StoreKey, cache: Path) -> pd.DataFrame:
    """Return ``issues.parquet``: text columns isic_id, stage, outcome, field, value and reason.

    An empty isic_id says that the row is about the listing as a whole. Raises as ``read_images`` does.
    """
    return read_frame(materialise(store, snapshot, cache) / ISSUES_NAME)
