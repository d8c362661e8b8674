"""Images for the page, made in memory and handed over as data URIs: nothing of an upload reaches a disk."""

import base64
import io

import numpy as np
from PIL import Image

from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.serving.overlays import AGAINST, FOR, STRONGEST, lay_over, resized, scale_of_maps
from lesion_core.serving.predictor import Answer

SIDE_PX = 384


def draw_image(pixels: np.ndarray) -> str:
    """Return uint8 (s, s, 3) as a data URI, ``SIDE_PX`` a side."""
    return _data_uri(resized(pixels, SIDE_PX))


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
    """Return the value at the ends of the colour scale (``overlays.scale_of_maps``)."""
    return scale_of_maps(answer.maps)


def overlay(pixels: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    """Lay a map over an image (``overlays.lay_over``); return uint8 (SIDE_PX, SIDE_PX, 3)."""
    return lay_over(pixels, values, scale, side_px=SIDE_PX)


def scale_css() -> str:
    """Return the colour scale as a CSS gradient from "against" to "for"."""
    against, favour = (f"rgba{(*colour, STRONGEST)}" for colour in (AGAINST, FOR))
    return f"linear-gradient(to right, {against}, rgba(255, 255, 255, 0), {favour})"


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
