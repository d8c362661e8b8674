"""Small pictures for a report: JPEG within the text of its data."""

import base64
import io

import numpy as np
from PIL import Image
from pydantic import Field

from lesion_core.serving.overlays import lay_over, resized
from lesion_core.types import Value

SIDE_PX = 128
NEIGHBOUR_SIDE_PX = 64
QUALITY = 80  # of JPEG


class Thumbnail(Value):
    """A small JPEG, square."""

    jpeg: str = Field(description="Base64, as a data URI has it after 'data:image/jpeg;base64,'")
    side_px: int = Field(ge=1, le=SIDE_PX)


def thumbnail_of(pixels: np.ndarray, *, side_px: int = SIDE_PX) -> Thumbnail:
    """Return uint8 (s, s, 3) as a thumbnail of at most ``side_px``; a smaller image keeps its size."""
    side = min(side_px, len(pixels))
    return _encoded(resized(pixels, side))


def overlay_thumbnail(pixels: np.ndarray, values: np.ndarray, scale: float) -> Thumbnail:
    """Return a map over its image as a thumbnail; arguments as for ``overlays.lay_over``."""
    return _encoded(lay_over(pixels, values, scale, side_px=SIDE_PX))


def _encoded(pixels: np.ndarray) -> Thumbnail:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail(jpeg=base64.b64encode(buffer.getvalue()).decode(), side_px=len(pixels))
