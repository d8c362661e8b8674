"""JPEG files as Pillow writes them, with their segments changed; and three that it cannot write.

Those lie in ``encoded/``, made from ``patches.colours()``: ``cjpeg -quality 95 -sample 4x1`` and ``cjpeg -quality 95
-arithmetic`` (libjpeg-turbo 2.1), and lossless with predictor 1 (libjpeg-turbo 3).
"""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ADOBE = 14
_ENCODED = Path(__file__).with_name("encoded")
_SCAN = 0xDA


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    """The file of pixels ``(height, width)``, ``(height, width, 3)``, or 4 for CMYK as Adobe's programs write it."""
    stream = io.BytesIO()
    Image.fromarray(pixels, "CMYK" if pixels.shape[2:] == (4,) else None).save(
        stream, "JPEG", **{"quality": 95, "subsampling": 0, **options}
    )
    return stream.getvalue()


def encoded(name: str) -> bytes:
    """A file that Pillow cannot write: 'arithmetic', 'four-one-one' or 'lossless'."""
    return (_ENCODED / f"{name}.jpg").read_bytes()


def with_segment(data: bytes, number: int, body: bytes) -> bytes:
    """Put an application's segment before all others."""
    return data[:2] + struct.pack(">BBH", 0xFF, 0xE0 + number, len(body) + 2) + body + data[2:]


def without_segment(data: bytes, number: int) -> bytes:
    """Take an application's segments away."""
    kept, at = data[:2], 2
    while data[at + 1] != _SCAN:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xE0 + number:
            kept += data[at : at + length]
        at += length
    return kept + data[at:]


def adobe(transform: int) -> bytes:
    """Adobe's segment: 0 is RGB or CMYK, 1 is YCbCr, 2 is YCCK."""
    return b"Adobe\0\x64\0\0\0\0" + bytes([transform])


def with_profile(data: bytes, profile: bytes, parts: int = 1) -> bytes:
    """Put a profile into as many segments."""
    size = -(-len(profile) // parts)
    for number in reversed(range(parts)):
        part = profile[number * size : (number + 1) * size]
        data = with_segment(data, 2, b"ICC_PROFILE\0" + bytes([number + 1, parts]) + part)
    return data


def of_bits(data: bytes, bits: int) -> bytes:
    """Let the frame's header promise samples of other bits."""
    changed, at = bytearray(data), data.index(b"\xff\xc0")
    changed[at + 4] = bits
    return bytes(changed)
