"""Which shares of the classes a training sees, and which its logits are left with.

Two numbers per class are used, and they are not the same. What training *draws* after class-balanced sampling
decides the weights by power, so that sampling and weighting do not correct twice. The images a class *has* decide
the effective number, because it measures how much there is to be learned from them, and drawing an image twice
adds nothing to that. Either way the weights are scaled so that their mean over what training draws is 1: a learning
rate found without weights stays right with them. The logit adjustment corrects for what sampling and weights leave
over, the share of each class in the loss, so that they and it do not correct twice either. What it does not correct
for is the prior of the logits (``prior_of_logits``).
"""

import numpy as np

from lesion_core.labels import N_CLASSES
from lesion_core.recipes.sections import Imbalance


def class_counts(class_index: np.ndarray) -> np.ndarray:
    """Return how many images each class has, int64 (k,), for 0-based class indices (n,)."""
    return np.bincount(np.asarray(class_index, np.int64), minlength=N_CLASSES)


def class_quotas(counts: np.ndarray, power: float) -> np.ndarray:
    """Return how often each class is drawn in an epoch of as many draws as there are images.

    A class with n images is drawn in proportion to n^(1 - power): power 0 shows every image once, power 1
    every class equally often. Rounded by largest remainder, so the sum is exact; a class with images is
    drawn at least once.

    Args:
        counts: (k,) images per class, not all 0.
        power: In [0, 1].

    Returns:
        int64 (k,), summing to ``counts.sum()``.
    """
    weights = np.where(counts > 0, np.power(np.maximum(counts, 1).astype(np.float64), 1.0 - power), 0.0)
    exact = counts.sum() * weights / weights.sum()
    quotas = np.floor(exact + 1e-9).astype(np.int64)
    largest_first = np.argsort(-(exact - quotas), kind="stable")
    quotas[largest_first[: counts.sum() - quotas.sum()]] += 1
    return quotas


def shares_in_loss(counts: np.ndarray, imbalance: Imbalance) -> np.ndarray:
    """Return the share of each class in the loss, after sampling and weights: float64 (k,), sum 1.

    Args:
        counts: (k,) images per class in the training split, not all 0.
        imbalance: How the classes are drawn and weighed.
    """
    drawn = class_quotas(counts, imbalance.sampling_power)
    return drawn * loss_weights(counts, imbalance).astype(np.float64) / drawn.sum()


def loss_weights(counts: np.ndarray, imbalance: Imbalance) -> np.ndarray:
    """Return what a label of each class weighs in a recipe's loss, float32 (k,); see ``class_weights``."""
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


def prior_of_logits(counts: np.ndarray, imbalance: Imbalance) -> np.ndarray:
    """Return the class shares that a network's logits stand for: float64 (k,), positive, sum 1.

    Training fits softmax(logits + s log q) to labels whose shares are q (``shares_in_loss``), so that the logits
    are those of a population with shares in proportion to q^(1 - s), for an adjustment of strength s (Menon et al.
    2021, arXiv:2007.07314, eq. 10): flat at 1, those of the training at 0. A focal loss shifts them further, by an
    amount that depends on the image; that is not in this number.

    A class without images has the share of the rarest that has some: it must have one, and none is known.

    Args:
        counts: (k,) images per class in the training split, not all 0.
        imbalance: How the classes are drawn and weighed, and how far the loss corrects for it.
    """
    shares = shares_in_loss(counts, imbalance)
    left = np.where(shares > 0, shares, shares[shares > 0].min()) ** (1.0 - imbalance.logit_adjustment)
    return left / left.sum()
