"""How a model does on a source that its training left out, against the sources that it knows.

The one training is measured twice: on the calibration split, whose images are of the other sources and taught it
nothing but one temperature, which changes no answer; and on the test split, the source that was left out. Only images
of classes that both sides have are counted, so that a source with other classes is no worse for it; an answer of any
other class is wrong. The two sides share no group, so their difference has the interval of independent numbers (the
method of variance estimates recovery, Zou and Donner 2008, doi:10.1002/sim.3095).
"""

import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from lesion_core.errors import ConfigError, DataError
from lesion_core.evaluation.left_out.spec import (
    METRICS_NAME,
    SOURCE_SHIFT_STEP,
    STEP_VERSION,
    SUMMARY_NAME,
    SourceShiftJob,
    SourceShiftRef,
    source_shift_inputs,
    source_shift_key_of,
)
from lesion_core.evaluation.measurement import Scored, estimate_all
from lesion_core.evaluation.report import PROBABILITY_COLUMNS, read_predictions
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.markup import table
from lesion_core.statistics.estimates import Estimate
from lesion_core.stores.folders import publish, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, ref_from_folder
from lesion_core.types import Value

_OVERALL = {
    "balanced_accuracy": "balanced accuracy",
    "macro_auc": "mean AUC",
    "malignant_sensitivity": "malignant sensitivity",
    "malignant_specificity": "malignant specificity",
}
_HEADER = ("Measure", "Known sources", "Source left out", "Difference")
_FEWEST = 2


class Shift(Value):
    """One number on both sides."""

    measure: str
    internal: Estimate = Field(description="On images of the sources that the model knows")
    elsewhere: Estimate = Field(description="On images of the source that was left out")
    difference: Estimate = Field(description="elsewhere minus internal; below 0: worse on the source left out")


class SourceShiftMetrics(Value):
    """A model on known sources and on the one that its training left out, over the classes that both have."""

    model_id: str
    source: str
    classes: tuple[Diagnosis, ...] = Field(description="Classes that both sides have, in CLASS_ORDER")
    internal_only: tuple[Diagnosis, ...] = Field(
        description="Classes whose images were not counted: not in the source"
    )
    elsewhere_only: tuple[Diagnosis, ...] = Field(description="Classes whose images were not counted: only in it")
    n_internal: int = Field(ge=1, description="Images counted")
    n_internal_groups: int = Field(ge=1)
    n_elsewhere: int = Field(ge=1)
    n_elsewhere_groups: int = Field(ge=1)
    shifts: tuple[Shift, ...] = Field(
        description="Balanced accuracy first; then others, then each class's sensitivity"
    )

    def in_words(self) -> str:
        """Return the finding in plain sentences."""
        first = self.shifts[0]
        left = [f"{', '.join(names)} {where}" for names, where in self._not_counted() if names]
        return (
            f"{self.model_id} was trained without the source {self.source!r}. Over {len(self.classes)} classes that "
            f"both sides have ({', '.join(self.classes)}), {first.measure} is {first.internal.in_words()} on "
            f"{self.n_internal:,} images ({self.n_internal_groups:,} groups) of the other sources and "
            f"{first.elsewhere.in_words()} on {self.n_elsewhere:,} ({self.n_elsewhere_groups:,} groups) of this one; "
            f"difference {first.difference.in_words()}." + (f" Not counted: {'; '.join(left)}." if left else "")
        )

    def _not_counted(self) -> tuple[tuple[tuple[Diagnosis, ...], str], ...]:
        return (self.internal_only, "only on the other sources"), (self.elsewhere_only, "only on this source")


def measure_source_shift(job: SourceShiftJob, store: Store) -> SourceShiftRef:
    """Measure a shift of source from two stored reports, and publish it; one that is there is returned at once.

    Raises:
        ConfigError: The reports are not one model's on the calibration and the test split of one dataset.
        DataError: The two sides share fewer than two classes.
        ArtifactNotFound: A report is not in the store.
        StoreError: The store's own.
    """
    _check(job)
    key = source_shift_key_of(job)
    if (made := find_reference(store, SourceShiftRef, key)) is not None:
        return made
    metrics = compare_sides(
        read_predictions(store, job.internal),
        read_predictions(store, job.elsewhere),
        model_id=job.internal.model.id,
        source=job.source,
        n_bootstrap=job.n_bootstrap,
        seed=job.seed,
    )
    first = metrics.shifts[0]
    summary = {
        "model": job.internal.model.model_dump(mode="json"),
        "source": job.source,
        "internal": first.internal.value,
        "elsewhere": first.elsewhere.value,
        "synthetic": job.internal.model.synthetic or job.internal.dataset.synthetic,
    }
    with tempfile.TemporaryDirectory(prefix="lesion-shift-") as place:
        folder = Path(place)
        (folder / METRICS_NAME).write_text(metrics.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (folder / SUMMARY_NAME).write_text(summary_of_source_shift(metrics) + "\n", encoding="utf-8")
        index, sha256 = publish(
            store,
            key,
            folder,
            step=SOURCE_SHIFT_STEP,
            step_version=STEP_VERSION,
            inputs=source_shift_inputs(job),
            summary=summary,
        )
    return ref_from_folder(SourceShiftRef, key, index, sha256)


def read_source_shift(store: Store, ref: SourceShiftRef) -> SourceShiftMetrics:
    """Return what was measured; raises as the store does."""
    return SourceShiftMetrics.model_validate_json(read_file(store, ref, METRICS_NAME))


def summary_of_source_shift(metrics: SourceShiftMetrics) -> str:
    """Return the finding as Markdown: sentences, and a table of every number."""
    rows = [
        (one.measure, one.internal.in_words(), one.elsewhere.in_words(), one.difference.in_words())
        for one in metrics.shifts
    ]
    return f"{metrics.in_words()}\n\n{table(_HEADER, rows)}"


def compare_sides(
    internal: pd.DataFrame, elsewhere: pd.DataFrame, *, model_id: str, source: str, n_bootstrap: int, seed: int
) -> SourceShiftMetrics:
    """Compare predictions on known sources with those on the one that was left out.

    Args:
        internal: As ``read_predictions`` returns them.
        elsewhere: The same, of other groups.
        model_id: Whose they are.
        source: The source that was left out.
        n_bootstrap: Resamples of whole groups.
        seed: Of the resamples.

    Raises:
        DataError: Fewer than two classes are on both sides.
    """
    ours, theirs = (set(side["class_index"].tolist()) for side in (internal, elsewhere))
    shared = sorted(ours & theirs)
    if len(shared) < _FEWEST:
        raise DataError(
            f"expected at least {_FEWEST} classes on both sides, got {_names(ours)} on the other sources and "
            f"{_names(theirs)} on {source!r}; leave out a source with more classes"
        )
    sides = [side[side["class_index"].isin(shared)] for side in (internal, elsewhere)]
    found = [estimate_all(_scored(side), n_bootstrap=n_bootstrap, seed=seed) for side in sides]
    overall = [(words, *(one.overall[name] for one in found)) for name, words in _OVERALL.items()]
    by_class = [
        (f"sensitivity of {CLASS_ORDER[number]}", *(one.by_class[number]["sensitivity"] for one in found))
        for number in shared
    ]
    return SourceShiftMetrics(
        model_id=model_id,
        source=source,
        classes=tuple(CLASS_ORDER[number] for number in shared),
        internal_only=tuple(CLASS_ORDER[number] for number in sorted(ours - theirs)),
        elsewhere_only=tuple(CLASS_ORDER[number] for number in sorted(theirs - ours)),
        n_internal=len(sides[0]),
        n_internal_groups=sides[0]["group"].nunique(),
        n_elsewhere=len(sides[1]),
        n_elsewhere_groups=sides[1]["group"].nunique(),
        shifts=tuple(
            Shift(measure=words, internal=here, elsewhere=there, difference=unpaired_difference(there, here))
            for words, here, there in [*overall, *by_class]
        ),
    )


def unpaired_difference(one: Estimate, other: Estimate) -> Estimate:
    """Return ``one`` minus ``other``, of independent images; without an interval where one of them has none."""
    if one.value is None or other.value is None:
        return Estimate(value=None)
    value = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Estimate(value=value)
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value=value, low=max(-1.0, value - below), high=min(1.0, value + above), method="combined")


def _scored(side: pd.DataFrame) -> Scored:
    return Scored(
        side["class_index"].to_numpy(np.int64),
        side[list(PROBABILITY_COLUMNS)].to_numpy(np.float64),
        side["group"].to_numpy(str),
    )


def _names(numbers: set[int]) -> str:
    return ", ".join(CLASS_ORDER[number] for number in sorted(numbers)) or "none"


def _check(job: SourceShiftJob) -> None:
    sides = (job.internal, job.elsewhere)
    is_one = len({(one.model.sha256, one.dataset.sha256) for one in sides}) == 1
    if not is_one or tuple(one.split for one in sides) != ("calibration", "test"):
        said = "; ".join(f"{one.model.id} on the {one.split} split of {one.dataset.id}" for one in sides)
        raise ConfigError(f"expected one model on the calibration and the test split of its own dataset, got {said}")
