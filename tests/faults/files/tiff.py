"""TIFF files, written tag by tag (TIFF 6.0): whatever layout may come, camera raw files among them."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Value = int | bytes | str | Sequence[int]
SHORT, LONG = 3, 4
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, MAKE, MODEL, OFFSETS, ORIENTATION, SAMPLES = 266, 271, 272, 273, 274, 277
ROWS, COUNTS, PLANAR, PREDICTOR, COLOUR_MAP = 278, 279, 284, 317, 320
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
SUB_FILE_TYPE, SUB_IFDS, EXTRA, FORMAT, PROFILE = 254, 330, 338, 339, 34675
SUBSAMPLING, DNG_VERSION = 530, 50706


@dataclass(frozen=True)
class Page:
    """One image of a TIFF: its tags, and its strips as they lie in the file."""

    tags: Mapping[int, Value]
    strips: Sequence[bytes] = ()
    below: Sequence["Page"] = field(default=())

    def all_tags(self, offsets: Sequence[int], below: Sequence[int]) -> dict[int, Value]:
        """Return the tags with those that say where the strips lie."""
        where = {OFFSETS: list(offsets), COUNTS: [len(strip) for strip in self.strips]}
        if TILE_WIDTH in self.tags:
            where = {TILE_OFFSETS: where[OFFSETS], TILE_COUNTS: where[COUNTS]}
        return {**self.tags, **(where if self.strips else {}), **({SUB_IFDS: list(below)} if below else {})}


class _Writer:
    def __init__(self, order: str, magic: bytes) -> None:
        self.order = order
        self.body = bytearray((b"II" if order == "<" else b"MM") + magic + bytes(4))

    def place(self, data: bytes) -> int:
        """Append data at an even offset, which is returned."""
        self.body += bytes(len(self.body) % 2)
        self.body += data
        return len(self.body) - len(data)

    def _entry(self, tag: int, value: Value) -> bytes:
        if isinstance(value, str):
            kind, n, data = 2, len(value) + 1, value.encode() + b"\0"
        elif isinstance(value, bytes):
            kind, n, data = 7, len(value), value
        else:
            numbers = [value] if isinstance(value, int) else list(value)
            kind = SHORT if max(numbers) < 65536 and tag not in (OFFSETS, COUNTS, SUB_IFDS) else LONG
            n, data = (
                len(numbers),
                struct.pack(f"{self.order}{len(numbers)}{'H' if kind == SHORT else 'I'}", *numbers),
            )
        where = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(f"{self.order}I", self.place(data))
        return struct.pack(f"{self.order}HHI", tag, kind, n) + where

    def page(self, page: Page) -> tuple[int, int]:
        """Write a page; return where its directory lies, and where that names the next one."""
        below = [self.page(one)[0] for one in page.below]
        offsets = [self.place(strip) for strip in page.strips]
        tags = page.all_tags(offsets, below)
        entries = b"".join(self._entry(tag, tags[tag]) for tag in sorted(tags))
        start = self.place(struct.pack(f"{self.order}H", len(tags)) + entries + bytes(4))
        return start, start + 2 + len(entries)


def tiff(*pages: Page, big_endian: bool = False, magic: bytes = b"") -> bytes:
    """Return a file of these pages."""
    order = ">" if big_endian else "<"
    writer = _Writer(order, magic or struct.pack(f"{order}H", 42))
    named_at = 4
    for page in pages:
        start, next_at = writer.page(page)
        struct.pack_into(f"{order}I", writer.body, named_at, start)
        named_at = next_at
    return bytes(writer.body)


def _packed(samples: np.ndarray, bits: int, order: str) -> bytes:
    """Rows of samples as TIFF packs them: each row begins a byte."""
    if bits > 16 or samples.dtype.kind == "f":
        return samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    if bits == 16:
        return samples.astype(f"{order}u2").tobytes()
    rows = samples.reshape(samples.shape[0], -1).astype(np.uint16)
    spread = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(rows.shape[0], -1).astype(np.uint8), axis=1).tobytes()


def page(
    samples: np.ndarray,
    photometric: int,
    *,
    bits: int = 8,
    big_endian: bool = False,
    rows: int = 0,
    deflate: bool = False,
    planar: bool = False,
    **tags: Value,
) -> Page:
    """Return a page of samples ``(height, width)`` or ``(height, width, n)``; ``rows`` is the strips' height."""
    order = ">" if big_endian else "<"
    height, width = samples.shape[:2]
    n_samples = 1 if samples.ndim == 2 else samples.shape[2]
    planes = np.moveaxis(samples, -1, 0) if planar else [samples]
    rows = rows or height
    strips = [_packed(plane[top : top + rows], bits, order) for plane in planes for top in range(0, height, rows)]
    named = {
        WIDTH: width, LENGTH: height, BITS: [bits] * n_samples, COMPRESSION: 8 if deflate else 1,
        PHOTOMETRIC: photometric, SAMPLES: n_samples, ROWS: rows, PLANAR: 2 if planar else 1,
    }  # fmt: skip
    more = {int(name.removeprefix("t")): value for name, value in tags.items()}
    return Page({**named, **more}, [zlib.compress(strip) for strip in strips] if deflate else strips)
