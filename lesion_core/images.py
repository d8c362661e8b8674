"""The only code that turns bytes into pixels; records, evaluation and the page all come through here.

What a file may hold, and what becomes of it:

- **Formats** JPEG (also the multi-picture kind that cameras write), PNG, WebP, TIFF, BMP, GIF. Nothing else is
  even tried, so no parser with side effects (EPS, WMF) is ever reached.
- **Orientation** from EXIF is applied; nothing else of EXIF is read, and nothing of it leaves this module.
- **Colour**: an embedded ICC profile is converted to sRGB; a broken or unfitting one is ignored, as browsers do.
  CMYK without a profile, greyscale, palette and one-bit pictures become RGB by their plain definition.
- **16-bit greyscale** is scaled over its full range (65535 becomes 255), never clipped.
- **Transparency** is laid on white, which is what a browser shows.
- **Several frames** (animations, multi-page TIFF) are refused: which one is meant cannot be known.
- **Colour constancy**, where a model asks for it: after scaling, the lamp's colour is estimated by shades of grey
  (Finlayson & Trezzi 2004, p = 6; on dermoscopy: Barata et al. 2015, doi:10.1109/JBHI.2014.2336473) and divided out.
- **Size**: at least ``MIN_SIDE_PX`` a side and at most ``MAX_PIXELS`` in all, read from the header before decoding.
"""

import codecs
import io
import logging
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from pydantic import Field

from lesion_core.errors import ImageRejected
from lesion_core.types import ColourConstancy, Value, is_none

MAX_PIXELS = 80_000_000  # about 240 MB as RGB; the archive's largest pictures have some 50 million
MIN_SIDE_PX = 16
_MINKOWSKI = 6  # the order that Finlayson & Trezzi found best over their photographs
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")  # Pillow opens MPO through JPEG

# Pillow logs every tag that it parses at DEBUG, with its value: names and descriptions of whoever is pictured would
# be in the logs of anybody who listens to everything.
logging.getLogger("PIL").setLevel(logging.INFO)

# Formats whose later frames are previews of the first one, not pictures of their own.
_FIRST_FRAME_IS_THE_PICTURE = ("MPO",)
_WHITE = (255, 255, 255)
_ORIENTATION = ExifTags.Base.Orientation
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L", "I;16N")
# What people upload by mistake, told by its first bytes: (offset, signature, what it is).
_NO_PICTURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"<!doctype html", "an HTML page, probably an error page of a download"),
    (0, b"<html", "an HTML page, probably an error page of a download"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML document"),
    (0, b"{", "a JSON document, probably an error of a download"),
    (0, b"%pdf", "a PDF document"),
    (4, b"ftyphei", "a HEIC photograph"),
    (4, b"ftypmif1", "a HEIC photograph"),
    (128, b"dicm", "a DICOM file"),
)
# Parsers of hostile bytes fail in many ways; a warning counts where warnings are made errors.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AttributeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Warning,
)


class Preprocessing(Value):
    """What is done to a decoded picture before the model sees it; travels inside the model's folder."""

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
    version: int = Field(default=1, ge=1, description="Raised when the same file would give other pixels")


class ImageFacts(Value):
    """What a fully decoded picture is: size as shown (after orientation) and file format."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    format: str = Field(description="'jpeg', 'png', 'webp', 'tiff', 'bmp' or 'gif'")


def decode(data: bytes, *, image_id: str) -> np.ndarray:
    """Return a file's pixels, uint8 ``(height, width, 3)`` in sRGB, upright.

    Raises:
        ImageRejected: The bytes are no usable picture; ``image_id`` and ``reason`` (words, safe to show) say why.
    """
    return np.asarray(_open(data, image_id)[0])


def probe(data: bytes, *, image_id: str) -> ImageFacts:
    """Return a picture's facts after decoding all of it, so that what probes well also decodes.

    Raises:
        ImageRejected: As for ``decode``.
    """
    image, format_ = _open(data, image_id)
    return ImageFacts(width=image.width, height=image.height, format=format_)


def header_size(path: Path) -> tuple[int, int]:
    """Return width and height as a file's header states them, without decoding; orientation is not applied.

    Raises:
        ImageRejected: The file has no header of a usable picture; ``image_id`` is its name.
    """
    with _translated(path.name), Image.open(path, formats=FORMATS) as image:
        return image.size


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
    image, _ = _open(data, image_id)
    return tuple(_scaled(image, preprocessing) for preprocessing in preprocessings)


def resize(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Scale decoded pixels, uint8 ``(height, width, 3)``, to uint8 ``(size_px, size_px, 3)``; level their colours.

    Antialiased bicubic (Pillow's, whose support grows with the reduction), after a box reduction of very large
    pictures to at least three times the wanted size. The same on every platform.
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


def _open(data: bytes, image_id: str) -> tuple[Image.Image, str]:
    """Return the upright sRGB picture and its format's name."""
    if not data:
        raise _rejected(image_id, "the file is empty")
    start = data[:256].removeprefix(codecs.BOM_UTF8)
    for offset, signature, what in _NO_PICTURES:
        if (start[offset:] if offset else start.lstrip()).lower().startswith(signature):
            raise _rejected(image_id, f"the file is {what}")
    with _translated(image_id):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        format_ = str(image.format)
        _check_header(image, image_id)
        image.load()
    return _to_rgb(_upright(image), image_id), "jpeg" if format_ == "MPO" else format_.lower()


def _check_header(image: Image.Image, image_id: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise _rejected(image_id, f"the picture has {width} × {height} pixels, more than {limit} million")
    if min(width, height) < MIN_SIDE_PX:
        raise _rejected(image_id, f"the picture has {width} × {height} pixels, less than {MIN_SIDE_PX} a side")
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format not in _FIRST_FRAME_IS_THE_PICTURE:
        raise _rejected(image_id, f"the file holds {n_frames} frames, where one still picture is expected")


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(_ORIENTATION, 1) == 1:
            return image  # as most are; ``exif_transpose`` would copy it
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:
        return image  # broken EXIF says nothing about the orientation; the pixels are fine


def _to_rgb(image: Image.Image, image_id: str) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode not in _MODES:
        raise _rejected(image_id, f"its colour mode {image.mode!r} is not one with a known black and white")
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return _to_srgb(image.convert("RGB") if image.mode in ("P", "1") else image, profile)
    layers = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, _WHITE)
    canvas.paste(_to_srgb(layers.convert("RGB"), profile), mask=layers.getchannel("A"))
    return canvas


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            # A profile of its own for each call: lcms handles must not be shared between threads.
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, io.BytesIO(profile), target, outputMode="RGB")
            return converted if converted is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, *_DECODER_ERRORS):
            pass  # unreadable, or made for another colour mode
    return image if image.mode == "RGB" else image.convert("RGB")  # converting to the same mode would copy


@contextmanager
def _translated(image_id: str) -> Iterator[None]:
    """Turn whatever Pillow raises on bad bytes into ``ImageRejected``."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise _rejected(image_id, "the file is no JPEG, PNG, WebP, TIFF, BMP or GIF picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = MAX_PIXELS // 1_000_000
        raise _rejected(image_id, f"the picture has more than {limit} million pixels") from error
    except _DECODER_ERRORS as error:
        raise _rejected(image_id, f"the picture is damaged or cut short ({error})") from error


def _rejected(image_id: str, reason: str) -> ImageRejected:
    return ImageRejected(
        f"image {image_id}: expected one whole still picture, but {reason}; export or download it again",
        image_id=image_id,
        reason=reason,
    )
