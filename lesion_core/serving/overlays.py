"""Maps laid over images, on the page and in reports."""

import numpy as np
from PIL import Image

# Blue – white – red of ColorBrewer (RdBu), which people with the common colour-vision deficiencies tell apart.
AGAINST = (33, 102, 172)
FOR = (178, 24, 43)
STRONGEST = 0.72  # opacity at the end of the scale: the image must stay visible under the map


def scale_of_maps(maps: np.ndarray) -> float:
    """Return the value at the ends of the colour scale of maps, float (h, w, k): one for all, so that they compare.

    It is the 99th percentile of the absolute values, so that one outlying cell does not pale all others.
    """
    return max(float(np.quantile(np.abs(maps), 0.99)), 1e-6)


def lay_over(pixels: np.ndarray, values: np.ndarray, scale: float, *, side_px: int) -> np.ndarray:
    """Lay a map over an image; return uint8 (side_px, side_px, 3).

    The image is shown in grey, because red on skin cannot be distinguished from the skin. Opacity grows with the
    absolute value; at 0 the image is untouched. Values between cell centres are interpolated linearly.

    Args:
        pixels: uint8 (s, s, 3).
        values: float (h, w); positive speaks for.
        scale: Value at which the colour is full.
        side_px: Side of the result.
    """
    grey = np.repeat(resized(pixels, side_px).astype(np.float32).mean(axis=-1, keepdims=True), 3, axis=-1)
    share = np.clip(values / scale, -1, 1).astype(np.float32)
    wide = np.asarray(Image.fromarray(share).resize((side_px, side_px), Image.Resampling.BILINEAR))[..., None]
    colour = np.where(wide > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    opacity = np.abs(wide) * STRONGEST
    mixed: np.ndarray = (grey * (1 - opacity) + colour * opacity).round().astype(np.uint8)
    return mixed


def resized(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Return uint8 (s, s, 3) at another size, uint8 (side_px, side_px, 3), by bicubic interpolation."""
    return np.asarray(Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.BICUBIC))
