"""BMP files, header by header: palettes, run lengths, bit fields, top-down rows, embedded profiles."""

import struct
from collections.abc import Sequence

import numpy as np

RAW, RLE8, RLE4, BIT_FIELDS = 0, 1, 2, 3


def _row(samples: np.ndarray, bits: int) -> bytes:
    if bits < 8:
        spread = (samples[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        data = np.packbits(spread.ravel().astype(np.uint8)).tobytes()
    elif bits == 16:
        data = samples.astype("<u2").tobytes()
    elif bits == 32 and samples.ndim == 1:
        data = samples.astype("<u4").tobytes()
    else:
        data = samples.astype(np.uint8).tobytes()
    return data + bytes(-len(data) % 4)


def run_lengths(samples: np.ndarray, bits: int) -> bytes:
    """Rows of palette numbers as runs, the lowest row first; of the first row's start an absolute run of five."""
    body = bytearray()
    for number, row in enumerate(samples[::-1]):
        left = 0
        if number == 0:
            five = row[:5].tolist()
            packed = (
                bytes(five) if bits == 8 else bytes([five[0] << 4 | five[1], five[2] << 4 | five[3], five[4] << 4])
            )
            body += bytes([0, 5]) + packed + bytes(len(packed) % 2)
            left = 5
        while left < len(row):
            n = 1
            while left + n < len(row) and n < 255 and row[left + n] == row[left]:
                n += 1
            value = int(row[left])
            body += bytes([n, value if bits == 8 else value * 17])
            left += n
        body += b"\0\0"
    return bytes(body + b"\0\1")


def bmp(
    samples: np.ndarray,
    bits: int,
    *,
    palette: np.ndarray | None = None,
    masks: Sequence[int] = (),
    header: int = 40,
    top_down: bool = False,
    compression: int = RAW,
    colour: bytes = b"",
    profile: bytes = b"",
) -> bytes:
    """Return the file of samples: numbers ``(height, width)``, or blue, green, red (and alpha) behind them."""
    height, width = samples.shape[:2]
    if compression in (RLE8, RLE4):
        body = run_lengths(samples, bits)
    else:
        body = b"".join(_row(row, bits) for row in (samples if top_down else samples[::-1]))
    n_colours = 0 if palette is None else len(palette)
    info = struct.pack("<IiiHHI", header, width, -height if top_down else height, 1, bits, compression)
    info += struct.pack("<IiiII", len(body), 2835, 2835, n_colours, 0)
    fields = struct.pack(f"<{len(masks)}I", *masks)
    info = info + fields if header == 40 else (info + fields.ljust(16, b"\0") + colour).ljust(header, b"\0")
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    if palette is not None:
        padding = np.zeros((n_colours, 1), np.uint8)
        info += (
            (palette[:, ::-1] if header == 12 else np.hstack([palette[:, ::-1], padding])).astype(np.uint8).tobytes()
        )
    if profile:
        place = struct.pack("<II", len(info) + len(body), len(profile))
        info = info[:112] + place + info[120:]
    start = 14 + len(info)
    return struct.pack("<2sIHHI", b"BM", start + len(body) + len(profile), 0, 0, start) + info + body + profile
