"""The tables of a snapshot: what arrived, and what was left out or set to unknown, with reasons."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lesion_core.isic.taxonomy import Unmapped
from lesion_core.stores.filesystem import translated
from lesion_core.stores.folders import materialise
from lesion_core.stores.protocol import Store
from lesion_core.types import SnapshotRef, StoreKey

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
        pa.field("age_years", pa.float32()),
        pa.field("sex", pa.string()),
        pa.field("site", pa.string()),
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
    age_years: float | None
    sex: str | None
    site: str | None
    lesion_id: str | None
    patient_id: str | None
    licence: str
    attribution: str
    confirm_type: str | None
    is_synthetic: bool
    etag: str | None
    raw_metadata: str


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
    def of_label(cls, isic_id: str, unmapped: Unmapped) -> "Issue":
        """An image left out because its diagnosis is none of the eight classes."""
        return cls(isic_id, "label", "excluded", unmapped.field, unmapped.value, unmapped.reason)

    @classmethod
    def of_value(cls, isic_id: str, unmapped: Unmapped) -> "Issue":
        """A value outside the vocabulary, set to unknown."""
        return cls(isic_id, "metadata", "set to unknown", unmapped.field, unmapped.value, unmapped.reason)


def write_tables(folder: Path, images: Iterable[ImageRow], issues: Sequence[Issue]) -> None:
    """Write both tables, sorted by id; raises ``StoreRefused`` where there is no room."""
    rows = sorted(images, key=lambda row: row.isic_id)
    with translated(folder):
        pq.write_table(_table([asdict(row) for row in rows], IMAGES_SCHEMA), folder / IMAGES_NAME)
        pq.write_table(_table([asdict(issue) for issue in sorted(issues)], ISSUES_SCHEMA), folder / ISSUES_NAME)


def _table(rows: list[dict[str, object]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def read_images(store: Store, snapshot: SnapshotRef | StoreKey, cache: Path) -> pd.DataFrame:
    """Return ``images.parquet``, one row per image, sorted by isic_id; missing values are NaN.

    Raises:
        ArtifactNotFound: There is no such snapshot.
        ArtifactCorrupt: Its files are not those that were published.
    """
    return pd.read_parquet(materialise(store, snapshot, cache) / IMAGES_NAME)


def read_issues(store: Store, snapshot: SnapshotRef | StoreKey, cache: Path) -> pd.DataFrame:
    """Return ``issues.parquet``: text columns isic_id, stage, outcome, field, value and reason.

    An empty isic_id says that the row is about the listing as a whole. Raises as ``read_images`` does.
    """
    return pd.read_parquet(materialise(store, snapshot, cache) / ISSUES_NAME)
