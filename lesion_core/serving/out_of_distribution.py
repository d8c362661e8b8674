"""How unlike the images that a model was made from a given image is, and what follows from that."""

from dataclasses import dataclass

import numpy as np

from lesion_core.statistics.guarantees.out_of_distribution import OutOfDistribution

SCORE = "ood_score"  # the output of model.onnx
# A score so many times the limit is of another kind of image, not of another camera: a limit that spares 95 % of the
# dermoscopy of a hospital that the model has not seen is 1.6 times its own, and still catches every photograph, text,
# screen and drawing (docs/out-of-distribution.md).
FAR = 1.6


@dataclass(frozen=True, slots=True)
class Likeness:
    """An image's score, the higher the more unlike, and the model's threshold; None where it has none."""

    score: float
    threshold: float | None

    @property
    def flagged(self) -> bool | None:
        """Whether the image is out of distribution; None where that is not known."""
        return None if self.threshold is None else self.score > self.threshold

    @property
    def is_far(self) -> bool:
        """Whether it is so far out that it is no dermoscopy of whatever camera; never where that is not known."""
        return self.threshold is not None and self.score > FAR * self.threshold


def likeness_of(stated: OutOfDistribution | None, scores: np.ndarray | None) -> Likeness | None:
    """Return the first score beside the threshold.

    ``None`` where the model is an older one without a score, or where the score is no number.

    Args:
        stated: What the model's folder says.
        scores: float (n,), n at least 1, or None.
    """
    if stated is None or scores is None or not np.isfinite(scores[0]):
        return None
    return Likeness(float(scores[0]), stated.threshold)
