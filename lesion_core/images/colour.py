"""Colours as a file means them, converted to sRGB by profiles (ICC.1:2022), which LittleCMS applies."""

import io
import struct
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageCms

from lesion_core.images.failures import DECODER_ERRORS

Point = tuple[float, float]
Chromaticities = tuple[Point, Point, Point, Point]  # white, red, green, blue
_D65, _DCI_WHITE, _C = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316)
SRGB: Chromaticities = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_SMPTE_C: Chromaticities = (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
# Code points of ITU-T H.273 (2023), tables 2 and 3.
CODED_PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_C,
    7: _SMPTE_C,
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (_DCI_WHITE, *_P3),
    12: (_D65, *_P3),
}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def power_curve(exponent: float) -> bytes:
    """Return the tone curve ``light = value ** exponent``."""
    return b"para\0\0\0\0\0\0\0\0" + _fixed(exponent)


def _curve(exponent: float, offset: float, slope: float, break_: float) -> bytes:
    """Return a tone curve with a straight foot: ``((value + offset) / (1 + offset)) ** exponent`` above the break."""
    scale = 1 / (1 + offset)
    return b"para\0\0\0\0\0\x03\0\0" + _fixed(exponent, scale, offset * scale, 1 / slope, break_)


_BT_1886 = power_curve(2.4)  # how a display shows what BT.709, 601 and 2020 encode, as browsers have it
CODED_CURVES: dict[int, bytes] = {
    1: _BT_1886,
    4: power_curve(2.2),
    5: power_curve(2.8),
    6: _BT_1886,
    7: _curve(1 / 0.45, 0.1115, 4.0, 0.0913),
    8: power_curve(1.0),
    13: _curve(2.4, 0.055, 12.92, 0.04045),
    14: _BT_1886,
    15: _BT_1886,
}


def matrix_profile(points: Chromaticities, curve: bytes) -> bytes | None:
    """Return the ICC profile of a colour space of three primaries; ``None`` where there is no such space."""
    try:
        white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in points)
        columns = np.array(primaries).T
        plain = columns * np.linalg.solve(columns, white)
        scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
        matrix = np.linalg.solve(_BRADFORD, scale @ _BRADFORD @ plain)
        return _written(matrix, curve)
    except (np.linalg.LinAlgError, ValueError, ArithmeticError, struct.error):
        return None


def _written(matrix: np.ndarray, curve: bytes) -> bytes:
    columns = [(name, b"XYZ \0\0\0\0" + _fixed(*matrix[:, n])) for n, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    tags = [*columns, *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC"))]
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, value in tags:
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value
    header = struct.pack(">I4xI4s4s4s12x4s", start + len(body), 0x04000000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + _fixed(*_D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def to_srgb(image: Image.Image, profiles: Sequence[bytes]) -> Image.Image:
    """Return an image in sRGB, by the first of these profiles that can be read and fits it.

    A grey image may have a profile of RGB, as browsers have it; an image in colour has none of grey.

    Args:
        image: In mode L, RGB, CMYK, or one that converts to RGB by its plain definition.
        profiles: ICC profiles in the order of their rank.

    Returns:
        Mode RGB; without conversion where no profile serves.
    """
    for profile in profiles:
        mode = _MODES.get(profile[16:20], "")
        if mode == image.mode or (mode == "RGB" and image.mode != "CMYK"):
            converted = _converted(image if image.mode == mode else image.convert("RGB"), profile)
            if converted is not None:
                return converted
    return image if image.mode == "RGB" else image.convert("RGB")  # converting to the same mode would copy


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        # A profile of its own for each call: lcms handles must not be shared between threads.
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, io.BytesIO(profile), target, outputMode="RGB")
    except (ImageCms.PyCMSError, *DECODER_ERRORS):
        return None  # unreadable


def grey_to_srgb(levels: np.ndarray, deepest: int, profiles: Sequence[bytes], *, is_turned_over: bool) -> Image.Image:
    """Return a deep greyscale image in sRGB.

    Args:
        levels: uint16 ``(height, width)``, 0 to ``deepest``.
        deepest: The value of white.
        profiles: As for ``to_srgb``; each is applied to 256 levels, and what lies between them is interpolated.
        is_turned_over: Whether white is zero.

    Returns:
        Mode RGB.
    """
    ramp = np.asarray(to_srgb(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), profiles))[0].astype(np.float64)
    places = np.arange(deepest + 1) * (255 / deepest)
    table = np.stack([np.interp(places, np.arange(256), ramp[:, channel]) for channel in range(3)], axis=-1)
    table = np.rint(table[::-1] if is_turned_over else table).astype(np.uint8)
    return Image.fromarray(table[np.minimum(levels, deepest)])
