"""What a PNG's chunks say of its colours and its transparency (W3C PNG, third edition, 2025).

Read here and not from Pillow, which knows no ``cICP``, compares ``tRNS`` with scaled samples, and keeps text under
the same names as these chunks.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from lesion_core.images.colour import (
    CODED_CURVES,
    CODED_PRIMARIES,
    SRGB,
    Chromaticities,
    matrix_profile,
    power_curve,
)
from lesion_core.images.failures import Unusable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE = 3
_GREY, _RGB, _GREY_ALPHA = 0, 2, 4
_HIGH_RANGE = {16: "PQ", 18: "HLG"}
_USUAL = 2.2  # gAMA alone within 5 % of its inverse is sRGB, as browsers have it; nobody means a difference so small
_NEAR = 0.05


@dataclass(frozen=True, slots=True)
class Header:
    """A PNG's header, and the chunks before its pixels, the first of each kind."""

    depth: int
    kind: int
    chunks: Mapping[bytes, bytes]

    @property
    def is_grey(self) -> bool:
        """Whether a pixel has one value, besides its transparency."""
        return self.kind in (_GREY, _GREY_ALPHA)

    @property
    def clear(self) -> tuple[int, ...] | None:
        """The one colour that is transparent, as samples of the file's own depth; not for palettes."""
        body, n = self.chunks.get(b"tRNS", b""), {_GREY: 1, _RGB: 3}.get(self.kind, 0)
        if not n or len(body) < 2 * n:
            return None
        return tuple(value % 2**self.depth for value in struct.unpack_from(f">{n}H", body))


def read_header(data: bytes) -> Header:
    """Return a PNG's header; the checks of its checksums are the decoder's.

    Raises:
        struct.error: The file ends before its pixels.
    """
    depth, kind = struct.unpack_from(">BB", data, 24)
    chunks: dict[bytes, bytes] = {}
    at = len(SIGNATURE)
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        if name in (b"IDAT", b"IEND"):
            return Header(depth, kind, chunks)
        if name in (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"tRNS", b"iCCP"):
            chunks.setdefault(name, data[at + 8 : at + 8 + min(length, 2048)])
        at += 12 + length


def profiles(header: Header, embedded: bytes | None) -> tuple[bytes, ...]:
    """Return the profiles to try, in this order; none is sRGB.

    Args:
        header: The PNG's.
        embedded: The unpacked profile of ``iCCP``, if there is one.

    Raises:
        Unusable: Its values are those of PQ or HLG (ITU-R BT.2100).
    """
    coded = _coded(header.chunks.get(b"cICP", b""))
    if coded is not None:
        return (coded,) if coded else ()
    first = (embedded,) if embedded and b"iCCP" in header.chunks else ()
    if b"sRGB" in header.chunks:
        return first
    stated = _stated(header.chunks.get(b"gAMA", b""), header.chunks.get(b"cHRM", b""))
    return (*first, stated) if stated else first


def _coded(body: bytes) -> bytes | None:
    """Return the profile that ``cICP`` names; empty for sRGB, ``None`` where it names none that is known."""
    if len(body) < 4 or body[2] != 0 or body[3] != 1:  # RGB in the full range is all that a PNG may have
        return None
    primaries, transfer = body[0], body[1]
    if transfer in _HIGH_RANGE:
        raise Unusable(
            f"it is an image in high dynamic range ({_HIGH_RANGE[transfer]}); export it in standard dynamic range"
        )
    if primaries not in CODED_PRIMARIES or transfer not in CODED_CURVES:
        return None
    if (primaries, transfer) == (1, 13):
        return b""
    return matrix_profile(CODED_PRIMARIES[primaries], CODED_CURVES[transfer])


def _stated(gamma: bytes, chromaticities: bytes) -> bytes | None:
    """Return the profile that ``gAMA``, alone or with ``cHRM``, describes; ``cHRM`` alone says nothing of tones."""
    exponent = struct.unpack_from(">I", gamma)[0] / 100_000 if len(gamma) >= 4 else 0.0
    if not exponent:
        return None
    points = _points(chromaticities)
    if points is None and abs(exponent * _USUAL - 1) < _NEAR:
        return None
    return matrix_profile(points or SRGB, power_curve(1 / exponent))


def _points(body: bytes) -> Chromaticities | None:
    if len(body) < 32:
        return None
    values = [value / 100_000 for value in struct.unpack_from(">8I", body)]
    white, red, green, blue = zip(values[::2], values[1::2], strict=True)
    return white, red, green, blue
