"""The training loss: cross-entropy or focal, with class weights, label smoothing and logit adjustment.

``recipes.class_shares`` says what each class weighs and what is added to its logits.
"""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from lesion_core.labels import N_CLASSES
from lesion_core.recipes.class_shares import class_counts, logit_offsets, loss_weights, shares_in_loss
from lesion_core.recipes.recipe import Recipe

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
        class_weights=loss_weights(counts, imbalance),
        focal_gamma=imbalance.focal_gamma if imbalance.loss == "focal" else 0.0,
    )


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
