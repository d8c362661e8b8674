"""Temperature scaling: one number that makes probabilities mean what they say.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599): logits are
divided by a temperature, fitted on images that neither training nor testing has seen. The order of the classes
never changes, and log-odds stay readable (they are only scaled).
"""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import minimize_scalar

from lesion_core.errors import DataError
from lesion_core.labels import N_CLASSES
from lesion_core.types import Value

Prior = Literal["flat", "observed"]

MIN_IMAGES = 40
MIN_CLASSES = 2
BOUNDS = (0.1, 10.0)  # beyond these a fit says that something else is wrong
# With a flat prior each class counts the same; a class of fewer images than this counts in proportion, so that no
# single rare image decides the temperature.
_FULL_WEIGHT_IMAGES = 5


class Calibration(Value):
    """How logits become probabilities: softmax(logits / temperature). Travels inside the model's folder."""

    method: Literal["temperature"] = "temperature"
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="What logits are divided by")
    prior: Prior = Field(
        default="flat", description="'flat': probabilities as if every class were as common as any other"
    )
    n_images: int = Field(ge=0, description="Images it was fitted on, or would have been")
    nll_before: float | None = Field(
        default=None, allow_inf_nan=False, description="Weighted negative log likelihood at temperature 1, in nats"
    )
    nll_after: float | None = Field(default=None, allow_inf_nan=False, description="The same at this temperature")
    reason: str | None = Field(default=None, description="Why the temperature was left at 1, if it was not fitted")


def fit_temperature(logits: np.ndarray, class_index: np.ndarray, *, prior: Prior = "flat") -> Calibration:
    """Fit the temperature that minimises the weighted negative log likelihood.

    Args:
        logits: float (n, k), raw, classes in ``CLASS_ORDER``.
        class_index: int (n,), 0-based.
        prior: 'flat' weighs images so that every class present counts the same; 'observed' weighs them equally.

    Returns:
        The calibration; temperature 1 with a ``reason`` where fewer than 40 images or 2 classes are there.

    Raises:
        DataError: Shapes do not fit, a class is out of range, or a logit is not finite.
    """
    logits, class_index = _checked(logits, class_index)
    n_images, n_present = len(logits), len(np.unique(class_index))
    if n_images < MIN_IMAGES or n_present < MIN_CLASSES:
        reason = (
            f"not fitted: {n_images} images of {n_present} classes, at least {MIN_IMAGES} of {MIN_CLASSES} are needed"
        )
        return Calibration(prior=prior, n_images=n_images, reason=reason)
    weights = _weights(class_index, prior)

    def loss(sharpness: float) -> float:
        return _nll(logits * sharpness, class_index, weights)

    # In 1 / temperature the loss is convex, so the bounded search cannot end in a wrong valley.
    found = minimize_scalar(loss, bounds=(1 / BOUNDS[1], 1 / BOUNDS[0]), method="bounded", options={"xatol": 1e-6})
    before, after = loss(1.0), float(found.fun)
    if after >= before:
        return Calibration(prior=prior, n_images=n_images, nll_before=before, nll_after=before)
    return Calibration(
        temperature=1 / float(found.x), prior=prior, n_images=n_images, nll_before=before, nll_after=after
    )


def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities softmax(logits / temperature), float32, over the last axis."""
    return np.exp(_log_softmax(np.asarray(logits, np.float64) / temperature)).astype(np.float32)


def _checked(logits: np.ndarray, class_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, class_index = np.asarray(logits, np.float64), np.asarray(class_index, np.int64)
    if logits.ndim != 2 or logits.shape[1] != N_CLASSES or class_index.shape != (len(logits),):
        raise DataError(
            f"expected logits (n, {N_CLASSES}) and class_index (n,), got {logits.shape} and {class_index.shape}"
        )
    if not np.isfinite(logits).all():
        raise DataError("expected finite logits to calibrate, got NaN or infinity; the model diverged, train again")
    if class_index.size and not (class_index.min() >= 0 and class_index.max() < N_CLASSES):
        raise DataError(
            f"expected class_index from 0 to {N_CLASSES - 1}, got {class_index.min()} to {class_index.max()}"
        )
    return logits, class_index


def _weights(class_index: np.ndarray, prior: Prior) -> np.ndarray:
    """Return (n,) weights that sum to 1."""
    counts = np.bincount(class_index, minlength=N_CLASSES)
    weights = np.ones(len(class_index))
    if prior == "flat":
        weights /= np.maximum(counts, _FULL_WEIGHT_IMAGES)[class_index]
    return weights / weights.sum()


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _nll(logits: np.ndarray, class_index: np.ndarray, weights: np.ndarray) -> float:
    return float(-weights @ _log_softmax(logits)[np.arange(len(logits)), class_index])
