"""The operating points of a model on the measured images: what was promised, what was reached, and what it costs."""

import numpy as np
from pydantic import Field

from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.guarantees.operating_points import BY_NAME, OperatingPoint, OperatingPoints
from lesion_core.types import Value


class ReachedPoint(Value):
    """One operating point, measured."""

    point: OperatingPoint
    sensitivity: Estimate = Field(description="Share of the images to be found that reach the threshold")
    specificity: Estimate = Field(description="Share of the other images that do not")
    n_positive: int = Field(ge=0, description="Images to be found")

    @property
    def is_kept(self) -> bool | None:
        """Whether the measured sensitivity is at least the promised one; ``None`` where one is not known."""
        value = self.sensitivity.value
        return None if value is None or self.point.threshold is None else value >= self.point.wanted

    def row(self) -> dict[str, str]:
        """Return it as a table's row."""
        if self.point.threshold is None:
            reached = specificity = "no promise: " + self.point.reason
        else:
            reached, specificity = self.sensitivity.in_words(), self.specificity.in_words()
        return {
            "decision": f"{self.point.decision} ({', '.join(BY_NAME[self.point.decision].classes)})",
            "sensitivity promised": f"{self.point.wanted:.2f}",
            "threshold": "–" if self.point.threshold is None else f"{self.point.threshold:.4f}",
            "sensitivity reached": reached,
            "specificity": "–" if self.point.threshold is None else specificity,
        }


def measure_decisions(
    points: OperatingPoints, class_index: np.ndarray, probs: np.ndarray, means: GroupMeans
) -> tuple[ReachedPoint, ...]:
    """Measure every operating point.

    Args:
        points: The model's.
        class_index: int (n,), 0-based.
        probs: float (n, k), as the model answers.
        means: Of the same images.
    """
    return tuple(_measured(point, class_index, probs, means) for point in points.points)


def _measured(point: OperatingPoint, class_index: np.ndarray, probs: np.ndarray, means: GroupMeans) -> ReachedPoint:
    decision = BY_NAME[point.decision]
    positive = decision.is_positive(class_index)
    if point.threshold is None:
        unknown = Estimate(value=None)
        return ReachedPoint(point=point, sensitivity=unknown, specificity=unknown, n_positive=int(positive.sum()))
    called = decision.scores(probs) >= point.threshold
    return ReachedPoint(
        point=point,
        sensitivity=means.share(called, positive),
        specificity=means.share(~called, ~positive),
        n_positive=int(positive.sum()),
    )
