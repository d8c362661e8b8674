"""PNG files, written chunk by chunk (W3C PNG, third edition): every depth, kind of colour and colour chunk."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
Chunk = tuple[bytes, bytes]


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gamma(value: float) -> Chunk:
    """``gAMA``: the exponent by which samples were made from light."""
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chromaticities(points: Sequence[tuple[float, float]]) -> Chunk:
    """``cHRM``: white, red, green, blue."""
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for point in points for value in point))


def srgb() -> Chunk:
    """``sRGB``."""
    return b"sRGB", b"\0"


def icc(profile: bytes) -> Chunk:
    """``iCCP``."""
    return b"iCCP", b"test\0\0" + zlib.compress(profile)


def code_points(primaries: int, transfer: int, *, matrix: int = 0, full_range: int = 1) -> Chunk:
    """``cICP``: code points of ITU-T H.273."""
    return b"cICP", bytes([primaries, transfer, matrix, full_range])


def _lines(samples: np.ndarray, depth: int) -> bytes:
    rows = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8).reshape(rows.shape[0], -1)
    else:
        bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(rows.shape[0], -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)


def png(
    samples: np.ndarray,
    kind: int,
    depth: int = 8,
    *chunks: Chunk,
    interlaced: bool = False,
    after: Sequence[Chunk] = (),
) -> bytes:
    """Return the file of samples ``(height, width)`` or ``(height, width, n)``, with chunks before the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    passes = [samples[top::down, left::right] for top, left, down, right in ADAM7] if interlaced else [samples]
    body = zlib.compress(b"".join(_lines(part, depth) for part in passes if part.size))
    all_chunks = [(b"IHDR", header), *chunks, (b"IDAT", body), *after, (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(name, data) for name, data in all_chunks)
