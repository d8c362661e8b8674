"""What a dataset holds by class: whether ages, sites, sources and gaps differ between the classes.

A value that is missing is counted as missing; nothing is filled in. Counts by class are in ``CLASS_ORDER``.
"""

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd
from pydantic import Field

from lesion_core.archive_fields import IDS, MANIPULATION, of_today
from lesion_core.dataset.summary import RECORDED_FIELDS
from lesion_core.fields.kinds import UNKNOWN, NumberField
from lesion_core.fields.table import AGE, categories, numbers
from lesion_core.isic.placeholders import ID_FIELDS
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.types import LICENCE_ORDER, Licence, Value

N_SIZES_NAMED = 24
_KNOWN_VALUES = {**{field.name: field.words for field in categories()}, "licence": LICENCE_ORDER}
_CROSSED = (*(field.name for field in categories()), "licence", "attribution", "confirm_type")

ByClass = tuple[int, ...]


class SizeCount(Value):
    """Images of one size, as they came from the archive."""

    width: int = Field(ge=1, description="Pixels")
    height: int = Field(ge=1, description="Pixels")
    images: ByClass = Field(description="Images by class")


class Credit(Value):
    """Images that one source gives under one licence."""

    attribution: str
    licence: Licence
    n_images: int = Field(ge=1)


class Breakdown(Value):
    """A dataset by class, all splits together, quarantined images included."""

    images: ByClass = Field(description="Images by class")
    values: dict[str, dict[str, ByClass]] = Field(description="Images by field, value ('unknown' last) and class")
    ages: tuple[ByClass, ...] = Field(
        description="For each class, images by age in bins of five years from 0; the last holds 90 and older"
    )
    credits: tuple[Credit, ...] = Field(description="Whom to credit and under which licence, most images first")
    missing: dict[str, ByClass] = Field(description="Images without a value, by field and class")
    sizes: tuple[SizeCount, ...] = Field(description="The most frequent sizes, most frequent first")
    n_sizes: int = Field(ge=1, description="How many sizes there are")
    placeholders: dict[str, dict[str, int]] = Field(
        description="Images by field and value that the archive states for an id and that stands for nobody"
    )
    manipulations: dict[str, int] = Field(description="Images by how they were manipulated, as the archive states")
    later_numbers: dict[str, tuple[ByClass, ...]] = Field(
        default_factory=dict,
        exclude_if=lambda fields: not fields,
        description="As for age: the same of each number that was added to the fields since, in bins of its own",
    )


def break_down(manifest: pd.DataFrame) -> Breakdown:
    """Count the rows of a manifest."""
    classes = _classes(manifest)
    sizes, by_size = sizes_by_class(manifest)
    stated = [of_today(json.loads(facts)) for facts in manifest["raw_metadata"]]
    binned = {number.name: _binned(number, manifest[number.name].to_numpy(float), classes) for number in numbers()}
    return Breakdown(
        images=_counts(classes),
        values={name: _crossed(manifest[name], classes, _KNOWN_VALUES.get(name, ())) for name in _CROSSED},
        ages=binned.pop(AGE.name),
        credits=_credits(manifest),
        missing={name: _counts(classes[manifest[name].isna().to_numpy()]) for name in RECORDED_FIELDS},
        sizes=_named_sizes(sizes, by_size),
        n_sizes=len(sizes),
        placeholders={
            name: _frequent(
                facts[IDS[name]]
                for facts, is_none in zip(stated, manifest[name].isna(), strict=True)
                if is_none and IDS[name] in facts
            )
            for name in ID_FIELDS
        },
        manipulations=_frequent(facts[MANIPULATION] for facts in stated if MANIPULATION in facts),
        later_numbers=binned,
    )


def _frequent(values: Iterable[object]) -> dict[str, int]:
    """Count values as text, the most frequent first."""
    counts = Counter(map(str, values))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _counts(classes: np.ndarray) -> ByClass:
    return tuple(np.bincount(classes, minlength=N_CLASSES).tolist())


def _crossed(values: pd.Series, classes: np.ndarray, known: tuple[str, ...]) -> dict[str, ByClass]:
    """Return counts by value: in the vocabulary's order, or the most frequent first; unknown last, if any is."""
    frequent = values.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    order = [str(value) for value in (known or frequent)]
    found = {value: _counts(classes[(values == value).to_numpy(bool)]) for value in order}
    is_missing = values.isna().to_numpy(bool)
    return {**found, UNKNOWN: _counts(classes[is_missing])} if is_missing.any() else found


def _credits(manifest: pd.DataFrame) -> tuple[Credit, ...]:
    pairs = Counter(zip(manifest["attribution"], manifest["licence"], strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Credit(attribution=who, licence=licence, n_images=n) for (who, licence), n in ordered)


def _binned(field: NumberField, values: np.ndarray, classes: np.ndarray) -> tuple[ByClass, ...]:
    """Return for each class how many values are in each bin."""
    return tuple(_counts_in_bins(field, values[classes == place]) for place in range(N_CLASSES))


def _counts_in_bins(field: NumberField, values: np.ndarray) -> ByClass:
    bins = np.minimum(values[~np.isnan(values)] // field.bin_width, field.n_bins - 1).astype(np.int64)
    return tuple(np.bincount(bins, minlength=field.n_bins).tolist())


def sizes_by_class(manifest: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return widths and heights in pixels, int (n, 2), most frequent first, and images of each by class, (n, k)."""
    pairs = manifest[["width", "height"]].to_numpy(np.int64)
    distinct, which = np.unique(pairs, axis=0, return_inverse=True)
    table = np.zeros((len(distinct), N_CLASSES), np.int64)
    np.add.at(table, (which.reshape(-1), _classes(manifest)), 1)
    order = np.lexsort((distinct[:, 1], distinct[:, 0], -table.sum(axis=1)))
    return distinct[order], table[order]


def _classes(manifest: pd.DataFrame) -> np.ndarray:
    return manifest["diagnosis"].map(CLASS_ORDER.index).to_numpy(np.int64)


def _named_sizes(sizes: np.ndarray, images: np.ndarray) -> tuple[SizeCount, ...]:
    return tuple(
        SizeCount(width=width, height=height, images=tuple(by))
        for (width, height), by in zip(sizes[:N_SIZES_NAMED].tolist(), images[:N_SIZES_NAMED].tolist(), strict=True)
    )
