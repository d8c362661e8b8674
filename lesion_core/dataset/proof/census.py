"""What a dataset's tables hold, counted, and the proof that nothing stands in two splits or in two folds."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
from pydantic import Field

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, check_licences, read_table
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.proof.leakage import (
    EVIDENCE_COLUMNS,
    NEAR_DUPLICATE,
    NO_FOLD,
    QUARANTINED,
    assert_disjoint,
    find_overlaps,
)
from lesion_core.dataset.records import SPLITS_NAME
from lesion_core.dataset.splitting.freezing import check_subset, digest_of_ids, frozen_ids
from lesion_core.dataset.splitting.split_history import SPLIT_HISTORY_NAME, SPLIT_HISTORY_SCHEMA
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.errors import ManifestError
from lesion_core.labels import CLASS_ORDER
from lesion_core.stores.filesystem import file_digest
from lesion_core.types import LICENCE_ORDER, LicenceProfile, Sha256, Slug, Value

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
TABLES = (MANIFEST_NAME, SPLITS_NAME, DUPLICATES_NAME, SPLIT_HISTORY_NAME)


class TestSplit(Value):
    """The test split by its name, which freezes it."""

    __test__ = False  # it is no test of pytest's

    name: Slug
    n_images: int = Field(ge=0)
    sha256: Sha256 = Field(description="Of the JSON list of its ids, sorted")
    n_frozen: int = Field(ge=0, description="Images it had when it was frozen; some may be gone since")
    frozen_sha256: Sha256 = Field(description="Of the ids of those: the same in every dataset with this test")


class Census(Value):
    """Everything in a certificate that can be counted again."""

    manifest_sha256: Sha256 = Field(description="Digest of manifest.parquet")
    tables: dict[str, Sha256] = Field(description="Digest of each table's file")
    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    images: dict[str, dict[str, int]] = Field(description="Images by split and class")
    folds: dict[str, dict[str, int]] = Field(description="Images by fold and class; 'none': in no fold")
    sources: dict[str, dict[str, int]] = Field(description="Images by source and split")
    groups: dict[str, int] = Field(description="Groups by split")
    fold_groups: dict[str, int] = Field(description="Groups by fold")
    test: TestSplit
    absent_classes: tuple[str, ...] = Field(description="Classes without an image in any split")
    absent_by_split: dict[str, tuple[str, ...]] = Field(description="Classes without an image in a split")
    n_quarantined: int = Field(ge=0, description="Images left out of every split")
    quarantine_reasons: dict[str, int] = Field(description="Why, and how many")
    quarantined_groups: tuple[str, ...] = Field(description="The groups they belong to")
    merged: dict[str, int] = Field(
        description="Images that are not the first of their patient, lesion or bytes, and near-duplicate pairs"
    )
    near_duplicates_across_lesions: int = Field(ge=0, description="Pairs that the lesion ids do not join")
    overlaps: dict[str, int] = Field(description="Pieces of evidence in several splits, by kind: all zero")
    fold_overlaps: dict[str, int] = Field(description="The same for folds: all zero")
    profile: LicenceProfile = Field(description="Which licences the dataset may hold")
    licences: dict[str, int] = Field(description="Images by licence")


def take_census(folder: Path, options: PrepareOptions, splits: pd.DataFrame) -> Census:
    """Count the tables in ``folder``.

    Args:
        folder: Holds all of ``TABLES``.
        options: What the dataset was made with.
        splits: The rows of ``splits.parquet``.

    Raises:
        LeakageError: Something stands in two splits, or in two folds; the message names it.
        LicenceRefused: Images under a licence that the profile does not allow.
        DataError: The test split has images that it had not when it was frozen.
        ManifestError: Tables that do not fit each other.
    """
    manifest = read_table(folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    duplicates = read_table(folder / DUPLICATES_NAME, DUPLICATES_SCHEMA)
    history = read_table(folder / SPLIT_HISTORY_NAME, SPLIT_HISTORY_SCHEMA)
    pairs = list(zip(duplicates["first"], duplicates["second"], strict=True))
    rows = _joined(manifest, splits, history)
    assert_disjoint(rows, pairs)
    check_licences(manifest, options.profile)
    used = rows[rows["split"] != QUARANTINED]
    aside = rows[rows["split"] == QUARANTINED]
    images = {split: _by_class(rows[rows["split"] == split]) for split in (*SPLITS, QUARANTINED)}
    lesion_of = rows.set_index("isic_id")["lesion_id"]
    tables = {name: file_digest(folder / name) for name in TABLES}
    return Census(
        manifest_sha256=tables[MANIFEST_NAME],
        tables=tables,
        n_images=len(rows),
        n_groups=int(rows["group"].nunique()),
        images=images,
        folds={name: _by_class(part) for name, part in _by_fold(rows).items()},
        sources=_by_source(rows),
        groups={split: int(rows.loc[rows["split"] == split, "group"].nunique()) for split in images},
        fold_groups={name: int(part["group"].nunique()) for name, part in _by_fold(rows).items()},
        test=_test_split(rows, history, options.test_name),
        absent_classes=_absent(_by_class(used)),
        absent_by_split={split: _absent(images[split]) for split in SPLITS},
        n_quarantined=len(aside),
        quarantine_reasons={str(why): int(n) for why, n in aside["reason"].value_counts().sort_index().items()},
        quarantined_groups=tuple(sorted(aside["group"].unique())),
        merged={
            **{kind: _repeats(rows[kind]) for kind in ("patient_id", "lesion_id", "sha256")},
            NEAR_DUPLICATE: len(pairs),
        },
        near_duplicates_across_lesions=sum(lesion_of[one] != lesion_of[other] for one, other in pairs),
        overlaps=_overlap_counts(rows, pairs, "split"),
        fold_overlaps=_overlap_counts(rows, pairs, "fold"),
        profile=options.profile,
        licences={name: n for name in LICENCE_ORDER if (n := int((rows["licence"] == name).sum()))},
    )


def _joined(manifest: pd.DataFrame, splits: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest with each image's split, fold and class as recorded, or refuse tables that disagree."""
    columns = ["isic_id", "split", "fold", "group", "class_index"]
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
    return rows.merge(history[["isic_id", "reason"]], on="isic_id", how="left")


def _test_split(rows: pd.DataFrame, history: pd.DataFrame, name: str) -> TestSplit:
    present, frozen = set(rows.loc[rows["split"] == "test", "isic_id"]), frozen_ids(history, name)
    check_subset(present, frozen, name, where="it was frozen")
    return TestSplit(
        name=name,
        n_images=len(present),
        sha256=digest_of_ids(present),
        n_frozen=len(frozen),
        frozen_sha256=digest_of_ids(frozen),
    )


def _by_class(rows: pd.DataFrame) -> dict[str, int]:
    counts = rows["diagnosis"].value_counts()
    return {str(name): int(counts.get(str(name), 0)) for name in CLASS_ORDER}


def _by_fold(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the images of each fold, and under 'none' those that belong to none or are quarantined."""
    fold = rows["fold"].mask(rows["split"] == QUARANTINED, NO_FOLD)
    parts = {str(number): rows[fold == number] for number in range(int(rows["fold"].max()) + 1)}
    return {**parts, "none": rows[fold == NO_FOLD]}


def _by_source(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    table = pd.crosstab(rows["source"], rows["split"])
    return {str(name): {str(split): int(n) for split, n in counts.items()} for name, counts in table.iterrows()}


def _absent(counts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(name for name, count in counts.items() if not count)


def _repeats(values: pd.Series) -> int:
    return int(values.dropna().duplicated().sum())


def _overlap_counts(
    rows: pd.DataFrame, pairs: Iterable[tuple[str, str]], of: Literal["split", "fold"]
) -> dict[str, int]:
    overlaps = find_overlaps(rows, pairs, of=of)
    return {kind: sum(item.kind == kind for item in overlaps) for kind in (*EVIDENCE_COLUMNS, NEAR_DUPLICATE)}
