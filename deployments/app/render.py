"""Images for the page, made in memory and handed over as data URIs: nothing of an upload reaches a disk."""

import base64
import io

import numpy as np
from PIL import Image

from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.serving.predictor import Answer

SIDE_PX = 384
# Blue – white – red of ColorBrewer (RdBu), which people with the common colour-vision deficiencies tell apart.
AGAINST = (33, 102, 172)
FOR = (178, 24, 43)
_STRONGEST = 0.72  # opacity at the end of the scale: the image must stay visible under the map


def draw_image(pixels: np.ndarray) -> str:
    """Return uint8 (s, s, 3) as a data URI, ``SIDE_PX`` a side."""
    return _data_uri(_enlarged(pixels))


def draw_preview(pixels: np.ndarray) -> str:
    """Return uint8 (h, w, 3) as a data URI in its own proportions, longest side at most ``SIDE_PX``."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE_PX, SIDE_PX))
    return _data_uri(np.asarray(image))


def draw_map(answer: Answer, diagnosis: Diagnosis) -> str:
    """Return the map of one class over the image as a data URI."""
    index = CLASS_ORDER.index(diagnosis)
    return _data_uri(overlay(answer.pixels, answer.maps[..., index], scale_of(answer)))


def scale_of(answer: Answer) -> float:
    """Return the value at the ends of the colour scale: one for all classes, so that maps compare.

    It is the 99th percentile of the absolute values, so that one outlying cell does not pale all others.
    """
    return max(float(np.quantile(np.abs(answer.maps), 0.99)), 1e-6)


def overlay(pixels: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    """Lay a map over an image; return uint8 (SIDE_PX, SIDE_PX, 3).

    The image is shown in grey, because red on skin cannot be distinguished from the skin. Opacity grows with the
    absolute value; at 0 the image is untouched. Values between cell centres are interpolated linearly.

    Args:
        pixels: uint8 (s, s, 3).
        values: float (h, w); positive speaks for.
        scale: Value at which the colour is full.
    """
    grey = np.repeat(_enlarged(pixels).astype(np.float32).mean(axis=-1, keepdims=True), 3, axis=-1)
    share = np.clip(values / scale, -1, 1).astype(np.float32)
    wide = np.asarray(Image.fromarray(share).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))[..., None]
    colour = np.where(wide > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    opacity = np.abs(wide) * _STRONGEST
    mixed: np.ndarray = (grey * (1 - opacity) + colour * opacity).round().astype(np.uint8)
    return mixed


def scale_css() -> str:
    """Return the colour scale as a CSS gradient from "against" to "for"."""
    against, favour = (f"rgba{(*colour, _STRONGEST)}" for colour in (AGAINST, FOR))
    return f"linear-gradient(to right, {against}, rgba(255, 255, 255, 0), {favour})"


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
