"""What a dataset holds, in numbers small enough for a table on a screen."""

from typing import Any

import pandas as pd
from pydantic import Field

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.proof.certificate import read_certificate
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.records import OpenDataset
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.fields.kinds import UNKNOWN, AnyField, CategoryField
from lesion_core.fields.table import AGE, FIELDS, SEX, SITE, later_fields
from lesion_core.labels import CLASS_ORDER
from lesion_core.refs import DatasetRef
from lesion_core.types import Value

# What the archive may record of an image besides its diagnosis, and often does not.
RECORDED_FIELDS = (*(field.name for field in FIELDS), "lesion_id", "patient_id", "confirm_type")


class DatasetSummary(Value):
    """A dataset for people."""

    dataset: DatasetRef
    images: dict[str, dict[str, int]] = Field(description="Images by split and class, quarantined ones included")
    groups: dict[str, int] = Field(description="Independent groups by split")
    absent_classes: tuple[str, ...] = Field(description="Classes without an image to learn or test on")
    absent_by_split: dict[str, tuple[str, ...]] = Field(description="Classes without an image in a split")
    n_quarantined: int
    merged: dict[str, int] = Field(description="Images joined to others, by kind of evidence")
    age_years: dict[str, float] = Field(
        description="Quartiles and extremes of the known ages; empty if none is known"
    )
    sexes: dict[str, int] = Field(description="Images by sex, 'unknown' last")
    sites: dict[str, int] = Field(description="Images by site, 'unknown' last")
    missing: dict[str, float] = Field(description="Share of the images without a value, by field, from 0 to 1")
    licences: dict[str, int] = Field(description="Images by licence")
    attributions: dict[str, int] = Field(description="Images by whom to credit")
    confirm_types: dict[str, int] = Field(description="Images by how the diagnosis was confirmed")
    n_synthetic: int = Field(description="Generated images")
    later_fields: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        exclude_if=lambda fields: not fields,
        description="As for age, sex and site: the same of each field that was added since",
    )


def describe(dataset: OpenDataset) -> DatasetSummary:
    """Return the summary of an opened dataset, with the splits that it was opened with (its own, or a fold's).

    Raises:
        ManifestError: Its manifest or certificate is missing or damaged.
    """
    manifest = read_table(dataset.folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    certificate = read_certificate(dataset.folder)
    images = {split: _by_class(dataset.split(split)) for split in (*SPLITS, QUARANTINED)}
    known = {field.name: _described(field, manifest[field.name]) for field in FIELDS}
    return DatasetSummary(
        dataset=dataset.ref,
        images=images,
        groups={split: int(dataset.split(split)["group"].nunique()) for split in images},
        absent_classes=certificate.absent_classes,
        absent_by_split={split: tuple(name for name, n in images[split].items() if not n) for split in SPLITS},
        n_quarantined=sum(images[QUARANTINED].values()),
        merged=certificate.merged,
        age_years=known[AGE.name],
        sexes=known[SEX.name],
        sites=known[SITE.name],
        missing={name: float(manifest[name].isna().mean()) for name in RECORDED_FIELDS},
        licences=_counts(manifest["licence"]),
        attributions=_counts(manifest["attribution"]),
        confirm_types=_counts(manifest["confirm_type"]),
        n_synthetic=int(manifest["is_synthetic"].sum()),
        later_fields={field.name: known[field.name] for field in later_fields()},
    )


def _by_class(rows: pd.DataFrame) -> dict[str, int]:
    counts = rows["class_index"].value_counts()
    return {str(name): int(counts.get(place, 0)) for place, name in enumerate(CLASS_ORDER)}


def _counts(values: pd.Series) -> dict[str, int]:
    known = {str(value): int(count) for value, count in values.value_counts().sort_index().items()}
    n_unknown = int(values.isna().sum())
    return {**known, UNKNOWN: n_unknown} if n_unknown else known


def _described(field: AnyField, values: pd.Series) -> dict[str, Any]:
    return _counts(values) if isinstance(field, CategoryField) else _quartiles(values)


def _quartiles(values: pd.Series) -> dict[str, float]:
    known = values.dropna()
    if known.empty:
        return {}
    shares = {"min": 0.0, "lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75, "max": 1.0}
    return {name: float(known.quantile(share)) for name, share in shares.items()}
