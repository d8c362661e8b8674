"""Simple checks of an image, shown to the user as notes; none of them blocks an answer.

Each limit lies outside what 600 images drawn at random from the ISIC archive show (all of the collections that
make up ISIC 2019, longest side 200–256 px), except where said, so that an ordinary dermoscopic image raises
no note. They say that an image is unlike the training material, not that the answer is wrong; their absence
does not say that the image is good.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

_SIDE_PX = 256  # sharpness is measured at one size, or a larger image would look sharper
_BLUR_LIMIT = 6.0  # archive: lowest 7.0, median 57; the same images blurred by 1.5 px: median 3.3
_DARK_MEAN, _BRIGHT_MEAN = 60.0, 230.0  # archive: 91 to 218
_FLAT_LIMIT = 4.0  # standard deviation of grey; archive: lowest 5.9
_DARK_CORNER, _DARK_CORNER_SHARE = 40, 0.5  # archive: 4 % of the images are beyond this, and rightly noted
_WARM_MARGIN, _WARM_SHARE = 10, 0.02  # archive: lowest 0.024
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma


@dataclass(frozen=True, slots=True)
class QualityNote:
    """One remark: a stable ``code``, the words for the user, and the value that led to it."""

    code: str
    text: str
    value: float


@dataclass(frozen=True, slots=True)
class _Measured:
    pixels: np.ndarray  # uint8 (h, w, 3), as uploaded
    small: np.ndarray  # float32 (h', w', 3), longest side at most _SIDE_PX
    grey: np.ndarray  # float32 (h', w')
    size_px: int


def check_quality(pixels: np.ndarray, *, size_px: int) -> tuple[QualityNote, ...]:
    """Return the notes for one decoded image.

    Args:
        pixels: uint8 (h, w, 3), RGB, upright, at its own size.
        size_px: Side of the model's square input.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    small = np.asarray(image, dtype=np.float32)
    measured = _Measured(pixels=pixels, small=small, grey=small @ _GREY, size_px=size_px)
    return tuple(note for check in _CHECKS if (note := check(measured)) is not None)


def sharpness(grey: np.ndarray) -> float:
    """Return the variance of the Laplacian of grey values in 0..255 (Pech-Pacheco et al. 2000, ICPR)."""
    if min(grey.shape) < 3:
        return 0.0
    laplacian = grey[1:-1, :-2] + grey[1:-1, 2:] + grey[:-2, 1:-1] + grey[2:, 1:-1] - np.float32(4) * grey[1:-1, 1:-1]
    return float(laplacian.var())


def _small(image: _Measured) -> QualityNote | None:
    side = min(image.pixels.shape[:2])
    if side >= image.size_px:
        return None
    text = f"The image is small: its shorter side has {side} px, the model looks at {image.size_px} px."
    return QualityNote("small", text, side)


def _flat(image: _Measured) -> QualityNote | None:
    deviation = float(image.grey.std())
    if deviation >= _FLAT_LIMIT:
        return None
    return QualityNote("flat", "The image is almost one colour. Is a lesion in it?", deviation)


def _blurred(image: _Measured) -> QualityNote | None:
    value = sharpness(image.grey)
    if value >= _BLUR_LIMIT or _flat(image) is not None:
        return None
    return QualityNote("blur", "The image looks out of focus. A sharper one may be answered differently.", value)


def _exposed(image: _Measured) -> QualityNote | None:
    mean = float(image.grey.mean())
    if mean < _DARK_MEAN:
        return QualityNote("dark", "The image is very dark.", mean)
    if mean > _BRIGHT_MEAN:
        return QualityNote("bright", "The image is very bright.", mean)
    return None


def _cornered(image: _Measured) -> QualityNote | None:
    rows, columns = (max(1, side // 10) for side in image.grey.shape)
    corners = [image.grey[r, c] for r in _ends(rows) for c in _ends(columns)]
    share = float(np.mean([(corner < _DARK_CORNER).mean() for corner in corners]))
    if share <= _DARK_CORNER_SHARE or float(image.grey.mean()) < _DARK_MEAN:
        return None
    text = "Dark corners: the rim of the dermatoscope is in the image. Crop it away if you can."
    return QualityNote("dark-corners", text, share)


def _ends(width: int) -> tuple[slice, slice]:
    return slice(None, width), slice(-width, None)


def _colourless(image: _Measured) -> QualityNote | None:
    """Skin of any tone is redder than blue; a screenshot, a grey image or a text page is not."""
    share = float((image.small[..., 0] > image.small[..., 2] + _WARM_MARGIN).mean())
    if share >= _WARM_SHARE:
        return None
    return QualityNote("no-skin", "The colours are unlike skin. The model knows only colour dermoscopy.", share)


_CHECKS: tuple[Callable[[_Measured], QualityNote | None], ...] = (
    _small,
    _flat,
    _blurred,
    _exposed,
    _cornered,
    _colourless,
)
# What the notes are called; a check has one code or more.
CODES: tuple[str, ...] = ("small", "flat", "blur", "dark", "bright", "dark-corners", "no-skin")
