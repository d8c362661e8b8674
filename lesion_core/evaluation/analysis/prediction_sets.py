"""Conformal sets on the measured images: how often they hold the truth, and how much they leave open."""

import numpy as np
from pydantic import Field

from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, MALIGNANT, Diagnosis
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.guarantees.conformal import ConformalLevel, ConformalSets, conformal_sets
from lesion_core.types import Value

_MALIGNANT = [CLASS_ORDER.index(name) for name in MALIGNANT]


class ClassCoverage(Value):
    """Sets of the images of one class."""

    diagnosis: Diagnosis
    coverage: Estimate = Field(description="Share of its images whose set holds it")
    mean_size: Estimate
    n_calibration_groups: int = Field(ge=0)
    is_pooled: bool


class SetCoverage(Value):
    """Sets of one coverage, measured."""

    wanted: float = Field(gt=0, lt=1)
    coverage: Estimate = Field(description="Share of all images whose set holds their class")
    mean_size: Estimate
    single: Estimate = Field(description="Share of sets that hold one class")
    empty: Estimate = Field(description="Share of sets that hold none: unlike images of every class")
    benign_only: Estimate = Field(description="Share of sets without a malignant class, among those that hold any")
    missed_malignant: Estimate = Field(description="Share of malignant images whose set holds no malignant class")
    classes: tuple[ClassCoverage, ...]

    def rows(self) -> list[dict[str, str]]:
        """Return a table's rows, one for each class that has images."""
        return [
            {
                "class": f"{CLASS_NAMES[one.diagnosis]} ({one.diagnosis})" + (", pooled" if one.is_pooled else ""),
                "calibration groups": f"{one.n_calibration_groups:,}",
                "coverage stated": f"{self.wanted:.2f}",
                "coverage reached": one.coverage.in_words(),
                "classes in the set": one.mean_size.in_words(2),
            }
            for one in self.classes
            if one.coverage.value is not None
        ]


def measure_sets(
    sets: ConformalSets, class_index: np.ndarray, probs: np.ndarray, means: GroupMeans
) -> tuple[SetCoverage, ...]:
    """Measure the sets of every coverage.

    Args:
        sets: The model's.
        class_index: int (n,), 0-based.
        probs: float (n, k), as the model answers.
        means: Of the same images.
    """
    return tuple(_measured(level, sets, class_index, probs, means) for level in sets.levels)


def _measured(
    level: ConformalLevel, sets: ConformalSets, class_index: np.ndarray, probs: np.ndarray, means: GroupMeans
) -> SetCoverage:
    inside = conformal_sets(probs, level)
    size: np.ndarray = inside.sum(axis=1)
    holds = inside[np.arange(len(class_index)), class_index]
    names_malignant = np.asarray(inside[:, _MALIGNANT].any(axis=1))
    is_malignant, is_empty = np.isin(class_index, _MALIGNANT), np.isin(size, 0)
    return SetCoverage(
        wanted=level.coverage,
        coverage=means.share(holds),
        mean_size=means.mean(size),
        single=means.share(np.isin(size, 1)),
        empty=means.share(is_empty),
        benign_only=means.share(~names_malignant, ~is_empty),
        missed_malignant=means.share(~names_malignant, is_malignant),
        classes=tuple(
            ClassCoverage(
                diagnosis=name,
                coverage=means.share(holds, class_index == place),
                mean_size=means.mean(size, class_index == place),
                n_calibration_groups=sets.n_groups[place],
                is_pooled=name in sets.pooled,
            )
            for place, name in enumerate(CLASS_ORDER)
        ),
    )
