"""The certificate: what a dataset holds, and the proof that nothing stands in two splits.

Every number is counted in the finished tables. Checking it means counting again.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pydantic import Field, ValidationError

from lesion_core.dataset.leakage import (
    EVIDENCE_COLUMNS,
    NEAR_DUPLICATE,
    QUARANTINED,
    assert_disjoint,
    find_overlaps,
)
from lesion_core.dataset.ledger import LEDGER_NAME
from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.records import SPLITS_NAME, OpenDataset
from lesion_core.dataset.splits import SPLITS
from lesion_core.errors import ManifestError
from lesion_core.labels import CLASS_ORDER
from lesion_core.stores.filesystem import file_digest
from lesion_core.types import JsonDict, Sha256, Value

CERTIFICATE_NAME = "certificate.json"
DUPLICATES_NAME = "duplicates.parquet"
DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("first", pa.string(), nullable=False),
        pa.field("second", pa.string(), nullable=False),
        pa.field("whole", pa.float64(), nullable=False),
        pa.field("disc", pa.float64(), nullable=False),
        pa.field("texture", pa.float64(), nullable=False),
    ]
)
_TABLES = (MANIFEST_NAME, SPLITS_NAME, DUPLICATES_NAME, LEDGER_NAME)


class Certificate(Value):
    """Content of ``certificate.json``."""

    inputs: JsonDict = Field(description="What the dataset was made from, as in the folder's index")
    tables: dict[str, Sha256] = Field(description="Digest of each table's file")
    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    images: dict[str, dict[str, int]] = Field(description="Pictures by split and class")
    groups: dict[str, int] = Field(description="Groups by split")
    absent_classes: tuple[str, ...] = Field(description="Classes without a picture in any split")
    absent_by_split: dict[str, tuple[str, ...]] = Field(description="Classes without a picture in a split")
    n_quarantined: int = Field(ge=0, description="Pictures left out because new evidence joined two splits")
    quarantined_groups: tuple[str, ...] = Field(description="The groups they belong to")
    merged: dict[str, int] = Field(
        description="Pictures that are not the first of their patient, lesion or bytes, and near-duplicate pairs"
    )
    near_duplicates_across_lesions: int = Field(ge=0, description="Pairs that the lesion ids do not join")
    overlaps: dict[str, int] = Field(description="Pieces of evidence in several splits, by kind: all zero")


def write_certificate(folder: Path, inputs: JsonDict, splits: pd.DataFrame) -> Certificate:
    """Certify the tables in ``folder`` and write ``certificate.json`` beside them.

    Args:
        folder: Holds all tables.
        inputs: What the dataset was made from.
        splits: The rows of ``splits.parquet``.

    Raises:
        LeakageError: Something stands in two splits.
        ManifestError: Tables that do not fit each other.
    """
    certificate = _certify(folder, inputs, splits)
    content = json.dumps(certificate.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / CERTIFICATE_NAME).write_text(content + "\n", encoding="utf-8")
    return certificate


def read_certificate(folder: Path) -> Certificate:
    """Read a dataset's certificate.

    Raises:
        ManifestError: It is missing or is none.
    """
    path = folder / CERTIFICATE_NAME
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ManifestError(f"expected a certificate at {path}, got: {error}; prepare the dataset again") from error


def verify_certificate(dataset: OpenDataset) -> Certificate:
    """Count everything again in an opened dataset and return its certificate if it is true.

    Raises:
        LeakageError: Something stands in two splits; the message names it.
        ManifestError: The certificate says something else than the tables, or they do not fit each other.
    """
    stated = read_certificate(dataset.folder)
    found = _certify(dataset.folder, stated.inputs, dataset.rows)
    wrong = [name for name in Certificate.model_fields if getattr(found, name) != getattr(stated, name)]
    if wrong:
        raise ManifestError(
            f"expected the certificate of {dataset.ref.id} to fit its tables, but {', '.join(wrong)} differ; the "
            "dataset was changed after it was certified: prepare it again",
            fields=wrong,
        )
    _check_places(dataset)
    return stated


def _certify(folder: Path, inputs: JsonDict, splits: pd.DataFrame) -> Certificate:
    manifest = read_table(folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    duplicates = read_table(folder / DUPLICATES_NAME, DUPLICATES_SCHEMA)
    pairs = list(zip(duplicates["first"], duplicates["second"], strict=True))
    rows = _joined(manifest, splits)
    assert_disjoint(rows, pairs)
    used = rows[rows["split"] != QUARANTINED]
    aside = rows[rows["split"] == QUARANTINED]
    images = {split: _by_class(rows[rows["split"] == split]) for split in (*SPLITS, QUARANTINED)}
    lesion_of = rows.set_index("isic_id")["lesion_id"]
    return Certificate(
        inputs=inputs,
        tables={name: file_digest(folder / name) for name in _TABLES},
        n_images=len(rows),
        n_groups=int(rows["group"].nunique()),
        images=images,
        groups={split: int(rows.loc[rows["split"] == split, "group"].nunique()) for split in images},
        absent_classes=_absent(_by_class(used)),
        absent_by_split={split: _absent(images[split]) for split in SPLITS},
        n_quarantined=len(aside),
        quarantined_groups=tuple(sorted(aside["group"].unique())),
        merged={
            **{kind: _repeats(rows[kind]) for kind in ("patient_id", "lesion_id", "sha256")},
            NEAR_DUPLICATE: len(pairs),
        },
        near_duplicates_across_lesions=sum(lesion_of[one] != lesion_of[other] for one, other in pairs),
        overlaps=_overlap_counts(rows, pairs),
    )


def _joined(manifest: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest with each picture's split and class as recorded, or refuse tables that disagree."""
    columns = ["isic_id", "split", "group", "class_index"]
    rows = manifest.merge(splits[columns], on="isic_id", how="outer", suffixes=("", "_recorded"), indicator=True)
    unmatched = rows.loc[rows["_merge"] != "both", "isic_id"]
    if len(unmatched):
        raise ManifestError(
            f"expected the same images in {MANIFEST_NAME} and {SPLITS_NAME}, got {len(unmatched)} in one only "
            f"(first: {unmatched.iloc[0]}); prepare the dataset again"
        )
    diagnosis = rows["class_index"].map(dict(enumerate(map(str, CLASS_ORDER))))
    differing = rows.loc[(rows["group"] != rows["group_recorded"]) | (rows["diagnosis"] != diagnosis), "isic_id"]
    if len(differing):
        raise ManifestError(
            f"expected the same group and class in {MANIFEST_NAME} and {SPLITS_NAME}, got others for "
            f"{len(differing)} images (first: {differing.iloc[0]}); prepare the dataset again"
        )
    return rows


def _check_places(dataset: OpenDataset) -> None:
    places = dataset.rows.groupby("shard")["row"]
    if dataset.rows.duplicated(["shard", "row"]).any() or dataset.rows["row"].min() < 0:
        raise ManifestError("expected each picture at its own place in the records; prepare the dataset again")
    for number, last in places.max().items():
        n_rows = len(dataset.shard(int(str(number))))
        if last >= n_rows:
            raise ManifestError(
                f"expected row {last} in shard {number}, which has {n_rows}; prepare the dataset again"
            )


def _by_class(rows: pd.DataFrame) -> dict[str, int]:
    counts = rows["diagnosis"].value_counts()
    return {str(name): int(counts.get(str(name), 0)) for name in CLASS_ORDER}


def _absent(counts: dict[str, int]) -> tuple[str, ...]:
    return tuple(name for name, count in counts.items() if not count)


def _repeats(values: pd.Series) -> int:
    return int(values.dropna().duplicated().sum())


def _overlap_counts(rows: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    overlaps = find_overlaps(rows, pairs)
    return {kind: sum(item.kind == kind for item in overlaps) for kind in (*EVIDENCE_COLUMNS, NEAR_DUPLICATE)}
