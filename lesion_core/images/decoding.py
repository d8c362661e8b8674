"""A file's bytes → its pixels in sRGB, upright."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from lesion_core.images.failures import MAX_PIXELS, Unusable, translated
from lesion_core.images.opening import FORMATS, opened
from lesion_core.images.samples import upright_rgb
from lesion_core.types import Value

MIN_SIDE_PX = 16


class ImageFacts(Value):
    """What a fully decoded image is: size as shown (after orientation) and file format."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    format: str = Field(description="'jpeg', 'png', 'webp', 'tiff', 'bmp' or 'gif'")


def decode(data: bytes, *, image_id: str) -> np.ndarray:
    """Return a file's pixels, uint8 ``(height, width, 3)`` in sRGB, upright.

    Raises:
        ImageRejected: The bytes are no usable image; ``image_id`` and ``reason`` (words, safe to show) say why.
    """
    return np.asarray(open_upright(data, image_id)[0])


def probe(data: bytes, *, image_id: str) -> ImageFacts:
    """Return an image's facts after decoding all of it, so that what probes well also decodes.

    Raises:
        ImageRejected: As for ``decode``.
    """
    image, format_ = open_upright(data, image_id)
    return ImageFacts(width=image.width, height=image.height, format=format_)


def header_size(path: Path) -> tuple[int, int]:
    """Return width and height as a file's header states them, without decoding; EXIF's orientation is not applied.

    Raises:
        ImageRejected: The file has no header of a usable image; ``image_id`` is its name.
    """
    with translated(path.name):
        with Image.open(path, formats=FORMATS) as image:
            if image.format != "TIFF":
                return image.size
        return opened(path.read_bytes()).image.size


def open_upright(data: bytes, image_id: str) -> tuple[Image.Image, str]:
    """Return a file's image in mode RGB, in sRGB and upright, and its format's name.

    Raises:
        ImageRejected: As for ``decode``.
    """
    with translated(image_id):
        file = opened(data)
        _check_size(file.image)
        return upright_rgb(file), file.format.lower()


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise Unusable(f"the image has {width} × {height} pixels, more than {limit} million")
    if min(width, height) < MIN_SIDE_PX:
        raise Unusable(f"the image has {width} × {height} pixels, less than {MIN_SIDE_PX} a side")
