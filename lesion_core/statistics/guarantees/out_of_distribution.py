"""Which images are unlike those that a model was made from: one normal distribution of features, and a limit.

The score of an image is the Mahalanobis distance of its features to those of training images (Lee et al. 2018,
arXiv:1807.03888). Their covariance is shrunk (Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4), so that it
can be inverted with fewer images than features, too. The limit is an order statistic of the scores of calibration
images: of a further such image, the score is above it with at most the wanted rate (split conformal prediction;
Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715; for this use Bates et al. 2023, doi:10.1214/22-AOS2244).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import betaincinv

from lesion_core.errors import DataError
from lesion_core.statistics.estimates import LEVEL
from lesion_core.types import Value

FALSE_ALARM_RATE = 0.05
MOST_IMAGES = 2_000  # to fit, and for the threshold; one of each group
MIN_CALIBRATION_GROUPS = 20  # fewer give no order statistic for 5 %
_WIDE = 0.05  # a range of false-alarm rates above this is said in words
_FLOOR = 1e-6  # variance below which features differ by rounding: what never varies would divide by 0


class OutOfDistribution(Value):
    """What a model knows of the images that it was made from: the file ``ood.json``."""

    method: Literal["mahalanobis"] = "mahalanobis"
    layer: str = Field(description="Whose features they are")
    n_fit: int = Field(ge=0, description="Training images that mean and precision were fitted to, one of each group")
    n_calibration: int = Field(ge=0, description="Calibration images of the threshold, one of each group")
    false_alarm_rate: float = Field(
        gt=0, lt=1, description="At most this share of images like those of calibration is flagged, on average"
    )
    threshold: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="An image with a higher score is flagged; None: unknown"
    )
    rate_low: float | None = Field(
        default=None, ge=0, le=1, description="With 95 %, the share that this very threshold flags is between these"
    )
    rate_high: float | None = Field(default=None, ge=0, le=1)
    reason: str = Field(default="", description="Why there is no threshold, or what is to know about it")


@dataclass(frozen=True, slots=True)
class FeatureSpread:
    """Where features lie, and how far they spread.

    Attributes:
        mean: float64 (d,).
        factor: float64 (d, d), F with F Fᵀ = the precision, the inverse of the covariance.
        n: Images that it was fitted to.
    """

    mean: np.ndarray
    factor: np.ndarray
    n: int

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distance of each image, float64 (n,), to features float (n, d)."""
        return np.asarray(np.linalg.norm((features.astype(np.float64) - self.mean) @ self.factor, axis=1))


def fit_spread(features: np.ndarray) -> FeatureSpread:
    """Fit mean and precision to the features of training images, float (n, d), one image of each group.

    Raises:
        DataError: No images, or features that are no numbers.
    """
    from sklearn.covariance import LedoitWolf  # the page reads ``OutOfDistribution`` and fits nothing

    values = np.asarray(features, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise DataError(
            f"expected finite features of at least one training image, got {values.shape[0]} images of which "
            f"{int((~np.isfinite(values)).any(axis=1).sum())} have none; look at the images of the train split"
        )
    n_features = values.shape[1]
    covariance = LedoitWolf().fit(values).covariance_ if len(values) > 1 else np.zeros((n_features, n_features))
    floor = _FLOOR * max(1.0, float(np.trace(covariance)) / n_features)
    covariance = covariance + floor * np.eye(n_features)
    return FeatureSpread(values.mean(axis=0), _factor_of_inverse(covariance), len(values))


def find_threshold(
    scores: np.ndarray, *, layer: str, n_fit: int, false_alarm_rate: float = FALSE_ALARM_RATE
) -> OutOfDistribution:
    """Return the threshold that at most a share of further images like these is above, and what is to know of it.

    Of n scores it is the k-th smallest, k = ⌈(n + 1)(1 - rate)⌉. The share that it flags itself varies as
    Beta(n + 1 - k, k) with the calibration images.

    Args:
        scores: float (n,), of calibration images, one of each group; NaN is left out.
        layer: Whose features were scored.
        n_fit: Images that mean and precision were fitted to.
        false_alarm_rate: Wanted rate.
    """
    ranked = np.sort(scores[np.isfinite(scores)].astype(np.float64))
    n = len(ranked)
    stated = OutOfDistribution(layer=layer, n_fit=n_fit, n_calibration=n, false_alarm_rate=false_alarm_rate)
    place = math.ceil((n + 1) * (1 - false_alarm_rate) - 1e-9)
    if n < MIN_CALIBRATION_GROUPS or place > n:
        reason = (
            f"{n} groups of calibration images are too few for a threshold with {100 * false_alarm_rate:g} % false "
            f"alarms, which takes at least {max(MIN_CALIBRATION_GROUPS, math.ceil(1 / false_alarm_rate) - 1)}"
        )
        return stated.model_copy(update={"reason": reason})
    low, high = (float(betaincinv(n + 1 - place, place, end)) for end in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    reason = ""
    if high - low > _WIDE:
        reason = (
            f"the threshold comes from {n} groups of calibration images: it flags {100 * low:.1f} to "
            f"{100 * high:.1f} % of such images (95 % range)"
        )
    found = {"threshold": float(ranked[place - 1]), "rate_low": low, "rate_high": high, "reason": reason}
    return stated.model_copy(update=found)


def _factor_of_inverse(covariance: np.ndarray) -> np.ndarray:
    """Return F with F Fᵀ = the inverse: the inverse of the Cholesky factor, transposed."""
    from scipy.linalg import solve_triangular

    lower = np.linalg.cholesky(covariance)
    return np.asarray(solve_triangular(lower, np.eye(len(covariance)), lower=True).T)
