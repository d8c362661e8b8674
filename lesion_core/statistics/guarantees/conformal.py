"""Conformal sets: the classes that cannot be excluded, with a coverage that holds for each class by itself.

A class stands in the set of an image where its probability is not unusually low for images that are of it. How low
is usual is taken from calibration images: with n of them, one of each group, the class is left out where its
probability is below that of all but the k lowest of them, k = floor((n + 1) (1 - coverage)). Of new images of the
class, drawn as those were, at least the wanted share then has it in its set: class-conditional (Mondrian) conformal
prediction, Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World", section 4.5; Sadinle, Lei and
Wasserman 2019, doi:10.1080/01621459.2017.1395341. The guarantee is about the drawing of calibration images and new
ones together, and does not hold for images of other hospitals. The temperature is fitted on the same images, which
loosens it by what one parameter can.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from lesion_core.errors import DataError
from lesion_core.labels import CLASS_ORDER, N_CLASSES, Diagnosis
from lesion_core.statistics.guarantees.trials import one_per_group
from lesion_core.types import Value

COVERAGES = (0.80, 0.90, 0.95)
SHOWN_COVERAGE = 0.90  # of the set on the page
MIN_GROUPS = 20  # a class with fewer is pooled with the others that have fewer


class ConformalLevel(Value):
    """The sets of one coverage."""

    coverage: float = Field(gt=0, lt=1, description="Wanted share of images whose set holds their class")
    thresholds: tuple[float, ...] = Field(
        min_length=N_CLASSES,
        max_length=N_CLASSES,
        description="Least probability with which a class stands in the set, in CLASS_ORDER; 0: it always does, for "
        "want of calibration images",
    )


class ConformalSets(Value):
    """What decides about the sets; travels in the model's folder as ``conformal.json``."""

    levels: tuple[ConformalLevel, ...] = Field(min_length=1, description="By rising coverage")
    n_groups: tuple[int, ...] = Field(description="Calibration groups with an image of each class, in CLASS_ORDER")
    pooled: tuple[Diagnosis, ...] = Field(
        description="Classes of few groups, whose threshold is one, of all their images: each has the coverage on "
        "average over them only"
    )

    def level(self, coverage: float = SHOWN_COVERAGE) -> ConformalLevel:
        """Return the sets of one coverage.

        Raises:
            DataError: There are none of that coverage.
        """
        for level in self.levels:
            if level.coverage == coverage:
                return level
        known = ", ".join(f"{level.coverage:g}" for level in self.levels)
        raise DataError(f"expected a coverage of {known}, got {coverage:g}")


def fit_conformal(
    class_index: np.ndarray,
    probs: np.ndarray,
    groups: np.ndarray,
    *,
    coverages: Sequence[float] = COVERAGES,
    seed: int = 7,
) -> ConformalSets:
    """Find the thresholds on calibration images.

    Args:
        class_index: int (n,), 0-based.
        probs: float (n, k), as the model answers.
        groups: (n,) group of each image; of each group one image of each class counts.
        coverages: Wanted shares, each in (0, 1).
        seed: Which image of a group counts.

    Raises:
        DataError: Lengths differ, or a coverage is out of range.
    """
    if not len(class_index) == len(probs) == len(groups) or not all(0 < one < 1 for one in coverages):
        raise DataError(
            f"expected classes, probabilities and groups of the same images and coverages between 0 and 1, got "
            f"{len(class_index)}, {len(probs)}, {len(groups)} and {list(coverages)}"
        )
    own = [_of_class(class_index, probs, groups, place, seed) for place in range(N_CLASSES)]
    n_groups = [len(values) for values in own]
    few = [place for place in range(N_CLASSES) if n_groups[place] < MIN_GROUPS]
    pool = np.concatenate([own[place] for place in few]) if few else np.zeros(0)
    used = [pool if place in few else own[place] for place in range(N_CLASSES)]
    return ConformalSets(
        levels=tuple(
            ConformalLevel(coverage=one, thresholds=tuple(least_probability(values, one) for values in used))
            for one in sorted(coverages)
        ),
        n_groups=tuple(n_groups),
        pooled=tuple(CLASS_ORDER[place] for place in few),
    )


def least_probability(values: np.ndarray, coverage: float) -> float:
    """Return the threshold for a class whose calibration images have these probabilities of it; 0 for too few."""
    k = int(np.floor((len(values) + 1) * (1 - coverage) + 1e-9))  # as many may lie below it
    return float(np.sort(values)[k - 1]) if k >= 1 else 0.0


def conformal_sets(probs: np.ndarray, level: ConformalLevel) -> np.ndarray:
    """Return which classes cannot be excluded, bool (n, k), for probabilities float (n, k)."""
    return np.asarray(probs, np.float64) >= np.array(level.thresholds)


def _of_class(class_index: np.ndarray, probs: np.ndarray, groups: np.ndarray, place: int, seed: int) -> np.ndarray:
    rows = np.flatnonzero(np.asarray(class_index) == place)
    chosen = rows[one_per_group(np.asarray(groups)[rows], seed=seed)]
    return np.asarray(probs, np.float64)[chosen, place]
