"""The training loss: cross-entropy or focal, with class weights, label smoothing and logit adjustment.

Two numbers per class are used, and they are not the same. What training *draws* after class-balanced sampling
decides the weights by power, so that sampling and weighting do not correct twice. The images a class *has* decide
the effective number, because it measures how much there is to be learned from them, and drawing an image twice
adds nothing to that. Either way the weights are scaled so that their mean over what training draws is 1: a learning
rate found without weights stays right with them. The logit adjustment corrects for what sampling and weights leave
over, the share of each class in the loss, so that they and it do not correct twice either.
"""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from lesion_core.labels import N_CLASSES
from lesion_core.modeling.feed.sampling import class_counts, class_quotas
from lesion_core.recipes.recipe import Recipe
from lesion_core.recipes.sections import Imbalance

LABELS = "labels"
Targets = dict[str, Any]  # 'labels': float32 (n, k), shares of the classes, each row summing to 1

# Below this share left over, a class counts as certain: a power of 0 has no derivative that float32 can hold.
_CERTAIN = 1e-7


def make_loss(recipe: Recipe, class_index: np.ndarray) -> "AdjustedCrossEntropy":
    """Return the loss that a recipe asks for.

    Args:
        recipe: Its ``imbalance`` and ``optimisation.label_smoothing`` decide.
        class_index: Classes of the training images, int (n,), 0-based, before sampling; n at least 1.
    """
    imbalance = recipe.imbalance
    counts = class_counts(class_index)
    return AdjustedCrossEntropy(
        offsets=logit_offsets(shares_in_loss(counts, imbalance), imbalance.logit_adjustment),
        label_smoothing=recipe.optimisation.label_smoothing,
        class_weights=_weights(counts, imbalance),
        focal_gamma=imbalance.focal_gamma if imbalance.loss == "focal" else 0.0,
    )


def shares_in_loss(counts: np.ndarray, imbalance: Imbalance) -> np.ndarray:
    """Return the share of each class in the loss, after sampling and weights: float64 (k,), sum 1.

    Args:
        counts: (k,) images per class in the training split, not all 0.
        imbalance: How the classes are drawn and weighed.
    """
    drawn = class_quotas(counts, imbalance.sampling_power)
    return drawn * _weights(counts, imbalance).astype(np.float64) / drawn.sum()


def _weights(counts: np.ndarray, imbalance: Imbalance) -> np.ndarray:
    drawn = class_quotas(counts, imbalance.sampling_power)
    return class_weights(
        counts, drawn, power=imbalance.class_weight_power, effective_number=imbalance.effective_number
    )


def logit_offsets(prior: np.ndarray, strength: float) -> np.ndarray:
    """Return what is added to the logits inside the loss: ``strength * log(prior)``.

    Menon et al. 2021, "Long-tail learning via logit adjustment" (arXiv:2007.07314, eq. 10). A network that
    fits the labels through shifted logits has unshifted logits for a flat prior over the classes.

    A class absent from training has no finite log prior. It is given that of the commonest class: correcting
    for the prior then raises every class above it, and a class never seen is never favoured for being rare.

    Args:
        prior: (k,) from ``shares_in_loss``.
        strength: 0 leaves the logits alone, 1 corrects to a flat prior.

    Returns:
        float32 (k,), finite, at most 0.
    """
    prior = np.asarray(prior, np.float64)
    return (strength * np.log(np.where(prior > 0, prior, prior.max()))).astype(np.float32)


def class_weights(
    counts: np.ndarray, drawn: np.ndarray, *, power: float, effective_number: float | None
) -> np.ndarray:
    """Return what a label of each class weighs in the loss.

    With ``effective_number`` beta, a class of n images weighs (1 - beta) / (1 - beta^n), one over its effective
    number of images (Cui et al. 2019, arXiv:1901.05555, eq. 2); otherwise a class drawn d times weighs d^-power.
    A class absent from training, which label smoothing alone can name, weighs as little as the lightest.

    Args:
        counts: (k,) images per class in the training split, not all 0.
        drawn: (k,) how often an epoch draws each class; 0 exactly where ``counts`` is 0.
        power: In [0, 1]; 0 weighs all alike.
        effective_number: Beta, in (0, 1), or None.

    Returns:
        float32 (k,), finite and positive; their mean over what an epoch draws is 1.
    """
    present = np.maximum(counts, 1).astype(np.float64)
    if effective_number is None:
        weights = np.maximum(drawn, 1).astype(np.float64) ** -power
    else:  # expm1 and log1p: for a beta near 1 and few images, 1 - beta^n has hardly a digit left
        weights = (1.0 - effective_number) / -np.expm1(present * np.log(effective_number))
    weights = np.where(counts > 0, weights, weights[counts > 0].min())
    return (weights * drawn.sum() / (weights * drawn).sum()).astype(np.float32)


def _equal_weights() -> np.ndarray:
    return np.ones(N_CLASSES, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class AdjustedCrossEntropy:
    """Mean over a batch of -Σ_c w_c t_c (1 - p_c)^gamma log p_c, for targets t that may share a row out.

    p is the softmax of the shifted logits. With gamma 0 this is cross-entropy; above, the focal loss (Lin et al.
    2017, arXiv:1708.02002, eq. 4, for one softmax instead of single sigmoids), in which what is already right
    counts less. The mean is over images, not over weights, so that a batch of rare images does count more.

    Attributes:
        offsets: float32 (k,) from ``logit_offsets``.
        label_smoothing: Share of each label spread evenly over the classes (Szegedy et al. 2016,
            arXiv:1512.00567).
        class_weights: float32 (k,) from ``class_weights``.
        focal_gamma: At least 0.
    """

    offsets: np.ndarray
    label_smoothing: float
    class_weights: np.ndarray = field(default_factory=_equal_weights)
    focal_gamma: float = 0.0

    def __call__(self, targets: Targets, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Return the mean loss, a float32 scalar, of logits (n, k) against ``targets['labels']`` (n, k)."""
        ops = keras.ops
        logits = ops.cast(logits, "float32") + self.offsets  # float32 also under mixed precision
        labels = targets[LABELS] * (1.0 - self.label_smoothing) + self.label_smoothing / N_CLASSES
        log_probs = ops.log_softmax(logits, axis=-1)
        terms = labels * self.class_weights * log_probs
        if self.focal_gamma:
            terms = terms * ops.power(ops.maximum(-ops.expm1(log_probs), _CERTAIN), self.focal_gamma)
        return -ops.mean(ops.sum(terms, axis=-1))
