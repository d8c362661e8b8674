"""Operating points: thresholds for a clinic's three decisions, with a sensitivity that is promised.

A decision is taken where the summed probability of its classes reaches a threshold. The threshold is chosen on
calibration images, one of each group, by testing "the sensitivity is below what is wanted" for rising thresholds and
stopping at the first that cannot be rejected (learn then test with fixed sequence testing, Angelopoulos, Bates,
Candès, Jordan and Lei 2021, arXiv:2110.01052; the p-value is the exact binomial one, Clopper and Pearson 1934,
doi:10.1093/biomet/26.4.404). So with ``CONFIDENCE``, over the drawing of calibration images, new images of the same
kind reach at least the wanted sensitivity. Where there are too few images for a promise there is no threshold.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.stats import binom

from lesion_core.errors import DataError
from lesion_core.labels import CLASS_ORDER, MALIGNANT, Diagnosis
from lesion_core.statistics.guarantees.trials import one_per_group
from lesion_core.types import Value

CONFIDENCE = 0.90
WANTED = (0.95, 0.90, 0.80)
DecisionName = Literal["refer", "cannot exclude malignancy", "cannot exclude melanoma"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes or no that a clinic asks for.

    Attributes:
        name: In words.
        classes: Whose images it is to find; their probabilities are summed.
    """

    name: DecisionName
    classes: tuple[Diagnosis, ...]

    def scores(self, probs: np.ndarray) -> np.ndarray:
        """Return the summed probability, float64 (n,), of probabilities float (n, k)."""
        return np.asarray(probs, np.float64)[:, self._positions].sum(axis=1)

    def is_positive(self, class_index: np.ndarray) -> np.ndarray:
        """Return which images it is to find, bool (n,), of classes int (n,)."""
        return np.isin(class_index, self._positions)

    @property
    def _positions(self) -> list[int]:
        return [CLASS_ORDER.index(name) for name in self.classes]


DECISIONS: tuple[Decision, ...] = (
    Decision("refer", (*MALIGNANT, Diagnosis.AK)),
    Decision("cannot exclude malignancy", MALIGNANT),
    Decision("cannot exclude melanoma", (Diagnosis.MEL,)),
)
BY_NAME: dict[str, Decision] = {one.name: one for one in DECISIONS}


class OperatingPoint(Value):
    """One threshold of one decision."""

    decision: DecisionName
    wanted: float = Field(gt=0, lt=1, description="Sensitivity that is promised")
    confidence: float = Field(gt=0, lt=1, description="With which it is, over the drawing of calibration images")
    threshold: float | None = Field(
        ge=0, description="Least summed probability, as the model answers; none: no promise can be made"
    )
    n_groups: int = Field(ge=0, description="Calibration groups with an image to be found")
    reason: str = Field(default="", description="Why there is no threshold")


class OperatingPoints(Value):
    """Content of ``operating_points.json`` in a model's folder."""

    points: tuple[OperatingPoint, ...]

    def of(self, decision: DecisionName) -> OperatingPoint | None:
        """Return the point of a decision with the highest promise that could be made, ``None`` where none could."""
        found = [point for point in self.points if point.decision == decision and point.threshold is not None]
        return max(found, key=lambda point: point.wanted, default=None)


def choose_operating_points(
    class_index: np.ndarray, probs: np.ndarray, groups: np.ndarray, *, seed: int = 7
) -> OperatingPoints:
    """Choose every decision's thresholds on calibration images.

    Args:
        class_index: int (n,), 0-based.
        probs: float (n, k), as the model answers.
        groups: (n,) group of each image; one image to be found counts of each.
        seed: Which image of a group counts.

    Raises:
        DataError: Lengths differ.
    """
    if not len(class_index) == len(probs) == len(groups):
        raise DataError(
            f"expected classes, probabilities and groups of the same images, got {len(class_index)}, {len(probs)} "
            f"and {len(groups)}"
        )
    points = []
    for decision in DECISIONS:
        rows = np.flatnonzero(decision.is_positive(class_index))
        chosen = rows[one_per_group(np.asarray(groups)[rows], seed=seed)]
        scores = decision.scores(np.asarray(probs).reshape(len(class_index), -1)[chosen]) if len(chosen) else chosen
        points += [_point(decision, np.asarray(scores, np.float64), wanted) for wanted in WANTED]
    return OperatingPoints(points=tuple(points))


def highest_threshold(scores: np.ndarray, wanted: float, *, confidence: float = CONFIDENCE) -> float | None:
    """Return the highest threshold that promises a sensitivity; ``None`` where there is none.

    Args:
        scores: float (n,) of images that are to be found, independent of each other.
        wanted: The sensitivity.
        confidence: Of the promise.
    """
    rising = np.sort(scores)
    missed = np.arange(len(rising))  # by a threshold at each of them; of tied ones by fewer
    allowed = np.flatnonzero(binom.cdf(missed, len(rising), 1 - wanted) <= 1 - confidence)
    return float(rising[allowed[-1]]) if len(allowed) else None


def least_groups(wanted: float, *, confidence: float = CONFIDENCE) -> int:
    """Return how many groups a promise needs at least: as many as must all be found."""
    return math.ceil(math.log(1 - confidence) / math.log(wanted))


def _point(decision: Decision, scores: np.ndarray, wanted: float) -> OperatingPoint:
    threshold = highest_threshold(scores, wanted)
    reason = (
        ""
        if threshold is not None
        else f"{len(scores)} groups with such an image in the calibration split; a sensitivity of {wanted:.0%} needs "
        f"{least_groups(wanted)} to be promised with {CONFIDENCE:.0%} confidence"
    )
    return OperatingPoint(
        decision=decision.name,
        wanted=wanted,
        confidence=CONFIDENCE,
        threshold=threshold,
        n_groups=len(scores),
        reason=reason,
    )
