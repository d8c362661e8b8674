"""From decoded pixels to what a model sees: one size, one scaling, and the lamp's colour."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from lesion_core.images.decoding import open_upright
from lesion_core.types import ColourConstancy, Value, is_none

_MINKOWSKI = 6  # the order that Finlayson & Trezzi found best over their photographs


class Preprocessing(Value):
    """What is done to a decoded image before the model sees it; travels inside the model's folder."""

    size_px: int = Field(ge=16, le=1024, description="Side of the square in pixels")
    resize: Literal["squash"] = Field(
        default="squash",
        description="'squash': the full frame is scaled to a square, because the aspect ratio tells the source "
        "clinic, a shortcut to the diagnosis",
    )
    colour_constancy: ColourConstancy = Field(
        default="none",
        exclude_if=is_none,  # so that what was written before there was a choice reads and is named as before
        description="'shades-of-gray': the colour of the lamp is estimated and divided out",
    )
    version: int = Field(default=1, ge=1, description="Raised when the same decoded image would give other pixels")


def preprocess(data: bytes, preprocessing: Preprocessing, *, image_id: str) -> np.ndarray:
    """Return what the model sees of a file: uint8 ``(size_px, size_px, 3)``; equals ``resize(decode(data))``.

    Raises:
        ImageRejected: As for ``decode``.
    """
    return preprocess_each(data, (preprocessing,), image_id=image_id)[0]


def preprocess_each(data: bytes, preprocessings: Sequence[Preprocessing], *, image_id: str) -> tuple[np.ndarray, ...]:
    """Return what ``preprocess`` returns for each of several sizes, after decoding once.

    Raises:
        ImageRejected: As for ``decode``.
    """
    image, _ = open_upright(data, image_id)
    return tuple(_scaled(image, preprocessing) for preprocessing in preprocessings)


def resize(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Scale decoded pixels, uint8 ``(height, width, 3)``, to uint8 ``(size_px, size_px, 3)``; level their colours.

    Antialiased bicubic (Pillow's, whose support grows with the reduction), after a box reduction of very large
    images to at least three times the wanted size. The same on every platform.
    """
    return _scaled(Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)), preprocessing)


def _scaled(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    size = (preprocessing.size_px, preprocessing.size_px)
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))
    return pixels if is_none(preprocessing.colour_constancy) else level_colours(pixels)


def level_colours(pixels: np.ndarray) -> np.ndarray:
    """Divide out the lamp's colour as shades of grey estimate it: channels' Minkowski means of order 6, made equal.

    Of so high an order, the bright skin counts and a dark rim does not. Where a channel is black throughout, nothing
    can be said of the lamp and the pixels are returned as they are.

    Args:
        pixels: uint8 ``(height, width, 3)``.

    Returns:
        uint8 ``(height, width, 3)``; what gets brighter than white is white.
    """
    values = np.arange(256, dtype=np.float64)
    counts = np.stack([np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)])
    lamp = (counts @ values**_MINKOWSKI / (pixels.size // 3)) ** (1.0 / _MINKOWSKI)
    if not lamp.all():
        return pixels
    gains = np.linalg.norm(lamp) / (math.sqrt(3.0) * lamp)
    table = np.clip(np.rint(values * gains[:, None]), 0, 255).astype(np.uint8)
    return np.stack([table[channel][pixels[..., channel]] for channel in range(3)], axis=-1)
