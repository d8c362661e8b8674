"""Near-duplicates: the same photograph, scaled, re-encoded, recoloured, turned or mirrored.

Two images are near-duplicates if, in one of the eight ways to lay one upon the other, their grey 32 × 32
thumbnails agree in three ways at once (Pearson correlation, so brightness and contrast do not matter):

- over the whole frame (``WHOLE``);
- within the inscribed disc (``DISC``), because a dark vignette makes any two images of one microscope alike;
- in the fine structure within the disc, the thumbnail minus its Gaussian blur (``TEXTURE``), because any two dark
  blobs on pale skin are alike without it.

The thresholds were set on 12,760 images of the ISIC 2019 training set: of the pairs found there, those with
different or no lesion ids are one photograph each by eye; the closest pair of different photographs with the same
vignette reaches 0.986 over the whole frame, but no such pair above 0.97 there reaches 0.79 in texture. Images
without contrast or structure correlate with nothing: their noise says nothing about whose skin it is. Crops and
shifts are not found; lesion ids are for those.

The search (``candidates``) misses no pair that the first of these conditions allows.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from lesion_core.dataset.splitting.near_pairs import candidate_pairs
from lesion_core.progress import Progress, ProgressCallback, ignore_progress

THUMBNAIL_PX = 32
WHOLE = 0.97
DISC = 0.975
TEXTURE = 0.79

_DISC_RADIUS_PX = 13.0
_BLUR_PX = 1.0
# Grey levels: below these the thumbnail is flat, and rounding (0.29 levels) is a large part of its structure.
_MIN_CONTRAST = 2.0
_MIN_TEXTURE = 0.5
_BLOCK = 4_000
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

PAIR_COLUMNS = ("first", "second", "whole", "disc", "texture")


def thumbnail_of(pixels: np.ndarray) -> np.ndarray:
    """Return the grey thumbnail, uint8 ``(32, 32)``, of an image scaled to uint8 ``(32, 32, 3)``."""
    return np.rint(pixels.astype(np.float32) @ _LUMINANCE).astype(np.uint8)


def find_near_duplicates(thumbnails: np.ndarray, on_progress: ProgressCallback = ignore_progress) -> pd.DataFrame:
    """Return all pairs of near-duplicates.

    Args:
        thumbnails: uint8 ``(n, 32, 32)``, from ``thumbnail_of``. Identical images should be given once.
        on_progress: Gets the stages 'near-duplicates' (parts of the search) and 'near-duplicates, verified' (pairs).

    Returns:
        One row per pair: ``first`` < ``second`` (positions), and the correlations ``whole``, ``disc``, ``texture`` of
        the orientation that agrees best.
    """
    grey = thumbnails.astype(np.float32)
    contrast = grey.std(axis=(1, 2))
    searched = np.flatnonzero(contrast >= _MIN_CONTRAST)
    if len(searched) < 2:
        return pd.DataFrame(columns=list(PAIR_COLUMNS))
    frames = unit_frames(grey[searched])
    candidates = searched[candidate_pairs(frames, WHOLE, _parts_of("near-duplicates", on_progress))]
    tell, blocks = _parts_of("near-duplicates, verified", on_progress), []
    for start in range(0, max(len(candidates), 1), _BLOCK):
        blocks.append(_verified(grey, candidates[start : start + _BLOCK]))
        tell(min(start + _BLOCK, len(candidates)), len(candidates))
    return pd.concat(blocks).sort_values(["first", "second"], ignore_index=True)


def _parts_of(stage: str, on_progress: ProgressCallback) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(Progress(stage=stage, done=done, total=total))


def _verified(grey: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    """Return those candidate pairs, int ``(m, 2)``, that are near-duplicates, with their correlations."""
    first, second = np.sort(pairs.reshape(-1, 2), axis=1).T
    scores = np.full((3, len(first)), -1.0, np.float32)
    left, right = unit_frames(grey[first]), unit_frames(grey[second])
    for turn in _TURNS:
        whole = np.einsum("ihw,ihw->i", left, turn(right))
        alike = np.flatnonzero(whole > WHOLE)  # few are, and only these are looked at closely
        close = np.stack([whole[alike], *_within_disc(grey[first[alike]], turn(grey[second[alike]]))])
        better = close.min(axis=0) > scores[:, alike].min(axis=0)
        scores[:, alike[better]] = close[:, better]
    found = (scores[0] > WHOLE) & (scores[1] > DISC) & (scores[2] > TEXTURE)
    columns = (first[found], second[found], *scores[:, found].astype(np.float64))
    return pd.DataFrame(dict(zip(PAIR_COLUMNS, columns, strict=True)))


def _turned(images: np.ndarray, quarter_turns: int, mirrored: bool) -> np.ndarray:
    turned = np.rot90(images, quarter_turns, axes=(1, 2))
    return turned[:, :, ::-1] if mirrored else turned


_TURNS = tuple(partial(_turned, quarter_turns=k, mirrored=mirrored) for mirrored in (False, True) for k in range(4))


def _within_disc(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the disc and texture correlation, each ``(m,)``, of images ``(m, 32, 32)``."""
    offset = np.arange(THUMBNAIL_PX) - (THUMBNAIL_PX - 1) / 2
    disc = np.hypot(offset[:, None], offset[None, :]) < _DISC_RADIUS_PX
    fine = _dot(_fine(left)[:, disc], _fine(right)[:, disc], _MIN_TEXTURE)
    return _dot(left[:, disc], right[:, disc], _MIN_CONTRAST), fine


def unit_frames(images: np.ndarray) -> np.ndarray:
    """Return images ``(n, 32, 32)`` without mean and of length 1; shorter where they have hardly any contrast."""
    return _unit(images.reshape(len(images), THUMBNAIL_PX**2), _MIN_CONTRAST).reshape(images.shape)


def _fine(images: np.ndarray) -> np.ndarray:
    return images - gaussian_filter(images, _BLUR_PX, axes=(1, 2), mode="nearest")


def _dot(left: np.ndarray, right: np.ndarray, floor: float) -> np.ndarray:
    return np.einsum("ij,ij->i", _unit(left, floor), _unit(right, floor))


def _unit(vectors: np.ndarray, floor: float) -> np.ndarray:
    """Return vectors ``(m, d)`` without mean and of length 1; shorter where they vary by less than ``floor``."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.maximum(length, floor * np.sqrt(vectors.shape[1]))
