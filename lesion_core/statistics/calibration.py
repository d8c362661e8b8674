"""Probabilities that mean what they say: temperature scaling, and the class shares that they stand for.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599): logits are
divided by a temperature, fitted on images that neither training nor testing has seen. The order of the classes
never changes, and log-odds stay readable (they are only scaled).

A probability is right for one prior only, the class shares of a population. The logits of a model stand for those
that its training left in them (``recipes.class_shares.prior_of_logits``): the temperature is fitted under them, and
probabilities are brought to the shares of the images that they are measured on.
"""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import minimize_scalar

from lesion_core.errors import DataError
from lesion_core.labels import N_CLASSES
from lesion_core.types import Value

MIN_IMAGES = 40
MIN_CLASSES = 2
BOUNDS = (0.1, 10.0)  # beyond these a fit says that something else is wrong
# A class of fewer images than this counts in proportion, so that no single rare image decides the temperature.
_FULL_WEIGHT_IMAGES = 5
_LEAST = 1e-12  # below this a probability counts as this
FLAT = np.full(N_CLASSES, 1 / N_CLASSES)


class Calibration(Value):
    """How logits become probabilities: softmax(logits / temperature). Travels inside the model's folder."""

    method: Literal["temperature"] = "temperature"
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="What logits are divided by")
    class_prior: tuple[float, ...] = Field(
        min_length=N_CLASSES,
        max_length=N_CLASSES,
        description="Class shares that the logits and so the probabilities stand for, in CLASS_ORDER, sum 1",
    )
    n_images: int = Field(ge=0, description="Images it was fitted on, or would have been")
    nll_before: float | None = Field(
        default=None, allow_inf_nan=False, description="Weighted negative log likelihood at temperature 1, in nats"
    )
    nll_after: float | None = Field(default=None, allow_inf_nan=False, description="The same at this temperature")
    reason: str | None = Field(default=None, description="Why the temperature was left at 1, if it was not fitted")


def fit_temperature(logits: np.ndarray, class_index: np.ndarray, class_prior: np.ndarray = FLAT) -> Calibration:
    """Fit the temperature that minimises the negative log likelihood in the population that the logits stand for.

    Images are weighed so that the classes present count in proportion to ``class_prior``.

    Args:
        logits: float (n, k), raw, classes in ``CLASS_ORDER``.
        class_index: int (n,), 0-based.
        class_prior: float (k,), positive, sum 1; flat where every class is to count the same.

    Returns:
        The calibration; temperature 1 with a ``reason`` where fewer than 40 images or 2 classes are there.

    Raises:
        DataError: Shapes do not fit, a class is out of range, a logit is not finite, or a share not positive.
    """
    logits, class_index = _checked(logits, class_index)
    prior = tuple(_shares(class_prior).tolist())
    n_images, n_present = len(logits), len(np.unique(class_index))
    if n_images < MIN_IMAGES or n_present < MIN_CLASSES:
        reason = (
            f"not fitted: {n_images} images of {n_present} classes, at least {MIN_IMAGES} of {MIN_CLASSES} are needed"
        )
        return Calibration(class_prior=prior, n_images=n_images, reason=reason)
    weights = _weights(class_index, np.array(prior))

    def loss(sharpness: float) -> float:
        return _nll(logits * sharpness, class_index, weights)

    # In 1 / temperature the loss is convex, so the bounded search cannot end in a wrong valley.
    found = minimize_scalar(loss, bounds=(1 / BOUNDS[1], 1 / BOUNDS[0]), method="bounded", options={"xatol": 1e-6})
    before, after = loss(1.0), float(found.fun)
    if after >= before:
        return Calibration(class_prior=prior, n_images=n_images, nll_before=before, nll_after=before)
    return Calibration(
        temperature=1 / float(found.x), class_prior=prior, n_images=n_images, nll_before=before, nll_after=after
    )


def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities softmax(logits / temperature), float32, over the last axis."""
    return np.exp(_log_softmax(np.asarray(logits, np.float64) / temperature)).astype(np.float32)


def bring_to_shares(probs: np.ndarray, class_prior: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return probabilities for a population with other class shares: float64 (n, k), rows summing to 1.

    p'_c is in proportion to p_c · shares_c / class_prior_c (Saerens, Latinne and Decaestecker 2002, "Adjusting the
    Outputs of a Classifier to New a Priori Probabilities", doi:10.1162/089976602753284446, eq. 4).

    Args:
        probs: float (n, k).
        class_prior: float (k,) or, of each row, (n, k), positive: the shares that ``probs`` stand for.
        shares: float (k,), of the other population; a class with none gets probability 0.

    Raises:
        DataError: A share of ``class_prior`` is not positive, or ``shares`` are all 0.
    """
    wanted = np.asarray(shares, np.float64)
    if wanted.shape != (N_CLASSES,) or not (np.isfinite(wanted).all() and (wanted >= 0).all() and wanted.any()):
        raise DataError(f"expected {N_CLASSES} class shares from 0, not all 0, got {wanted.tolist()}")
    odds = np.maximum(np.asarray(probs, np.float64), _LEAST) * (wanted / _shares(class_prior))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _shares(class_prior: np.ndarray) -> np.ndarray:
    prior = np.asarray(class_prior, np.float64)
    if prior.shape[-1:] != (N_CLASSES,) or not (np.isfinite(prior).all() and (prior > 0).all()):
        raise DataError(
            f"expected a share above 0 of each of {N_CLASSES} classes that the logits stand for, got {prior.tolist()}"
        )
    return np.asarray(prior / prior.sum(axis=-1, keepdims=True))


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


def _weights(class_index: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return (n,) weights that sum to 1."""
    counts = np.bincount(class_index, minlength=N_CLASSES)
    weights = (prior / np.maximum(counts, _FULL_WEIGHT_IMAGES))[class_index]
    return weights / weights.sum()


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _nll(logits: np.ndarray, class_index: np.ndarray, weights: np.ndarray) -> float:
    return float(-weights @ _log_softmax(logits)[np.arange(len(logits)), class_index])
