"""Two images in one: mixup (Zhang et al. 2018, arXiv:1710.09412), CutMix (Yun et al. 2019, arXiv:1905.04899).

Each image of a batch takes part of its partner's pixels, and as much of its partner's label. Its own share is never
below one half, because its metadata is not mixed: half of a man of 40 and half of a woman of 70 is nobody, and a code
has no middle. So what is said of the patient is always true of the larger part. Nothing is lost by it: a mixture by
shares (p, 1 - p) of an image and its partner is the mixture by (1 - p, p) of the partner and the image.
"""

import numpy as np
from scipy.special import betaincinv

from lesion_core.recipes.sections import Augmentation

# One uniform number for each of: partner, kind, share, place across, place down.
N_MIXING_DRAWS = 5

_STEPS = 256  # shares are whole 256ths, so that pixels are mixed in whole numbers


def is_mixing(augmentation: Augmentation) -> bool:
    """Whether images are mixed at all."""
    return bool(augmentation.mixup or augmentation.cutmix)


def mix(
    images: np.ndarray, labels: np.ndarray, draws: np.ndarray, augmentation: Augmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch with every image mixed with another one of it; the alphas say how much.

    Args:
        images: uint8 (n, s, s, 3).
        labels: float32 (n, k), rows sum to 1.
        draws: float32 (n, ``N_MIXING_DRAWS``) in [0, 1). The partners are the batch's own images, once each.
        augmentation: ``mixup`` and ``cutmix``; where both are on, each image has an even chance of either.

    Returns:
        uint8 (n, s, s, 3) and float32 (n, k), rows sum to 1.
    """
    partners = _partners(draws[:, 0])
    pasted = _is_pasted(draws[:, 1], augmentation)
    mixed = images.copy()
    own = np.empty(len(images), np.float32)
    own[~pasted] = _blend(mixed, images, partners, np.flatnonzero(~pasted), draws, augmentation.mixup)
    own[pasted] = _paste(mixed, images, partners, np.flatnonzero(pasted), draws, augmentation.cutmix)
    return mixed, (labels * own[:, None] + labels[partners] * (1 - own[:, None])).astype(np.float32)


def _partners(draws: np.ndarray) -> np.ndarray:
    """Return each image's partner: the next one in a random round, so none is its own unless it is alone."""
    round_ = np.argsort(draws, kind="stable")
    partners = np.empty_like(round_)
    partners[round_] = np.roll(round_, -1)
    return partners


def _is_pasted(draws: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    if augmentation.mixup and augmentation.cutmix:
        return draws < 0.5
    return np.full(len(draws), bool(augmentation.cutmix))


def _own_shares(draws: np.ndarray, alpha: float) -> np.ndarray:
    """Return shares in [0.5, 1]: Beta(alpha, alpha) by the inverse of its distribution, the larger side taken."""
    shares = betaincinv(alpha, alpha, draws.astype(np.float64))
    return np.maximum(shares, 1 - shares)


def _blend(
    mixed: np.ndarray, images: np.ndarray, partners: np.ndarray, chosen: np.ndarray, draws: np.ndarray, alpha: float
) -> np.ndarray:
    """Lay the partner over the whole image, as a double exposure; return the images' own shares."""
    weights = np.rint(_own_shares(draws[chosen, 2], alpha) * _STEPS).astype(np.uint32) if len(chosen) else chosen
    for one, weight in zip(chosen, weights, strict=True):
        ours, theirs = images[one].astype(np.uint16), images[partners[one]].astype(np.uint16)
        mixed[one] = (
            ours * np.uint16(weight) + theirs * np.uint16(_STEPS - weight) + np.uint16(_STEPS // 2 - 1)
        ) >> 8
    return np.asarray(weights, np.float32) / _STEPS


def _paste(
    mixed: np.ndarray, images: np.ndarray, partners: np.ndarray, chosen: np.ndarray, draws: np.ndarray, alpha: float
) -> np.ndarray:
    """Paste a rectangle of the partner in its own place; return what the rectangles leave of the images."""
    if not len(chosen):
        return np.empty(0, np.float32)
    side = images.shape[1]
    half = np.sqrt(1 - _own_shares(draws[chosen, 2], alpha)) * side / 2
    middle = draws[chosen, 3:5] * side  # whole pixels inward, so that never more than half is pasted
    low = np.clip(np.ceil(middle - half[:, None]), 0, side).astype(np.int64)
    high = np.clip(np.floor(middle + half[:, None]), low, side).astype(np.int64)
    for one, (left, top), (right, bottom) in zip(chosen, low, high, strict=True):
        mixed[one, top:bottom, left:right] = images[partners[one], top:bottom, left:right]
    return (1 - (high - low).prod(axis=1) / side**2).astype(np.float32)
