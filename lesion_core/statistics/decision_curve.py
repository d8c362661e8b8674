"""Whether acting on a model does more good than harm: net benefit by threshold probability.

Vickers and Elkin 2006, "Decision Curve Analysis: A Novel Method for Evaluating Prediction Models"
(doi:10.1177/0272989X06295361). Who would have a lesion excised from a probability of t on weighs one excision too
many as t / (1 - t) of a cancer found. Net benefit is then the share of images that are rightly called, less the share
that are wrongly called times that weight; it is for the prevalence of the images that it is measured on.
"""

import numpy as np
from pydantic import Field

from lesion_core.errors import DataError
from lesion_core.types import Value

THRESHOLDS = tuple(percent / 100 for percent in range(1, 51))


class DecisionCurve(Value):
    """Net benefit by threshold probability; of calling nothing malignant it is 0 at each."""

    thresholds: tuple[float, ...] = Field(description="Threshold probabilities, rising, above 0 and below 1")
    model: tuple[float, ...] = Field(description="Net benefit of calling malignant what is as probable or more")
    treat_all: tuple[float, ...] = Field(description="Net benefit of calling everything malignant")
    prevalence: float = Field(ge=0, le=1, description="Share of malignant images; no net benefit is above it")

    @property
    def treat_none(self) -> tuple[float, ...]:
        """Return the net benefit of calling nothing malignant."""
        return (0.0,) * len(self.thresholds)


def decision_curve(
    is_malignant: np.ndarray, probability: np.ndarray, thresholds: tuple[float, ...] = THRESHOLDS
) -> DecisionCurve:
    """Measure net benefit.

    Args:
        is_malignant: bool (n,), the truth.
        probability: float (n,), 0 to 1, for the class shares of these images.
        thresholds: Rising, above 0 and below 1.

    Raises:
        DataError: No images, lengths that differ, a probability that is none, or thresholds out of range or order.
    """
    truth, scores = _checked(is_malignant, probability)
    at = np.asarray(thresholds, np.float64)
    if not len(at) or not ((at > 0) & (at < 1)).all() or (np.diff(at) <= 0).any():
        raise DataError(f"expected rising threshold probabilities above 0 and below 1, got {list(thresholds)[:12]}")
    found = _from(scores[truth], at) / len(truth)
    alarms = _from(scores[~truth], at) / len(truth)
    weight, prevalence = at / (1 - at), float(truth.mean())
    return DecisionCurve(
        thresholds=tuple(at.tolist()),
        model=tuple((found - alarms * weight).tolist()),
        treat_all=tuple((prevalence - (1 - prevalence) * weight).tolist()),
        prevalence=prevalence,
    )


def _from(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return how many scores are at each threshold or above, (t,)."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def _checked(is_malignant: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(is_malignant, bool), np.asarray(probability, np.float64)
    if not len(truth) or truth.shape != scores.shape or truth.ndim != 1:
        raise DataError(f"expected a probability of each image, at least one, got {scores.shape} for {truth.shape}")
    # Sums of probabilities pass 1 by a rounding error.
    if not (np.isfinite(scores).all() and scores.min() >= -1e-6 and scores.max() <= 1 + 1e-6):
        raise DataError("expected finite probabilities from 0 to 1 for a decision curve, got others; apply softmax")
    return truth, scores
