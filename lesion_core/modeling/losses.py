"""The training loss: softmax cross-entropy with label smoothing and logit adjustment."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lesion_core.labels import N_CLASSES

LABELS = "labels"
Targets = dict[str, Any]  # 'labels': float32 (n, 8), shares of the classes, each row summing to 1


def logit_offsets(prior: np.ndarray, strength: float) -> np.ndarray:
    """Return what is added to the logits inside the loss: ``strength * log(prior)``.

    Menon et al. 2021, "Long-tail learning via logit adjustment" (arXiv:2007.07314, eq. 10). A network that
    fits the labels through shifted logits has unshifted logits for a flat prior over the classes.

    A class absent from training has no finite log prior. It is given that of the commonest class: correcting
    for the prior then raises every class above it, and a class never seen is never favoured for being rare.

    Args:
        prior: (8,) shares of the classes as training saw them, after sampling; they sum to 1.
        strength: 0 leaves the logits alone, 1 corrects to a flat prior.

    Returns:
        float32 (8,), finite, at most 0.
    """
    prior = np.asarray(prior, np.float64)
    return (strength * np.log(np.where(prior > 0, prior, prior.max()))).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class AdjustedCrossEntropy:
    """Mean softmax cross-entropy of a batch.

    Attributes:
        offsets: float32 (8,) from ``logit_offsets``.
        label_smoothing: Share of each label spread evenly over the eight classes (Szegedy et al. 2016,
            arXiv:1512.00567).
    """

    offsets: np.ndarray
    label_smoothing: float

    def __call__(self, targets: Targets, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Return the mean loss, a float32 scalar, of logits (n, 8) against ``targets['labels']`` (n, 8)."""
        logits = keras.ops.cast(logits, "float32") + self.offsets  # float32 also under mixed precision
        labels = targets[LABELS] * (1.0 - self.label_smoothing) + self.label_smoothing / N_CLASSES
        return keras.ops.mean(-keras.ops.sum(labels * keras.ops.log_softmax(logits, axis=-1), axis=-1))
