"""How a shard lies on disk: pixels as they are, and a checksum of each record.

::

    numpy header    uint8  (n, size_px, size_px, 3)
    pixels          RGB, row by row
    numpy header    uint32 (n,)
    checksums       CRC-32 of each record's pixels

Both are what ``numpy.save`` writes, one after the other, so ``numpy.load`` opens the pixels without this code.
A record is read by its place in the file, not through a memory map: where a file was cut short meanwhile, a map ends
the process with a signal, and a read with an error that names the file. docs/records.md says why the pixels are not
compressed.
"""

import os
import secrets
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from lesion_core.errors import ArtifactCorrupt, ManifestError
from lesion_core.stores.filesystem import settle, settle_path

_CHECKSUM = np.dtype("<u4")


class ShardWriter:
    """A shard in the making: records are put in any order, from any thread, and none is held in memory.

    The file has a hidden name until ``finish``; what a killed process leaves has it still.

    Args:
        path: The shard's own name.
        n_rows: How many records it will have.
        size_px: Their side.
    """

    def __init__(self, path: Path, n_rows: int, size_px: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._partial = path, path.with_name(f".{secrets.token_hex(8)}.partial")
        self._checksums = np.zeros(n_rows, _CHECKSUM)
        self._record_bytes = size_px * size_px * 3
        self._stream = self._partial.open("xb")
        _write_header(self._stream, (n_rows, size_px, size_px, 3), np.dtype(np.uint8))
        self._stream.flush()
        self._offset = self._stream.tell()

    def put(self, row: int, pixels: np.ndarray) -> None:
        """Write one record, uint8 ``(size_px, size_px, 3)``, to its place."""
        body = np.ascontiguousarray(pixels).data.cast("B")
        self._checksums[row] = zlib.crc32(body)
        place = self._offset + row * self._record_bytes
        while body:  # a write may be cut short
            n_written = os.pwrite(self._stream.fileno(), body, place)
            body, place = body[n_written:], place + n_written

    def finish(self) -> None:
        """Bring the shard to the disk and give it its name; every record must have been put."""
        self._stream.seek(0, os.SEEK_END)
        np.save(self._stream, self._checksums, allow_pickle=False)
        settle(self._stream)
        self._stream.close()
        os.replace(self._partial, self._path)
        settle_path(self._path.parent)

    def discard(self) -> None:
        """Remove what was written, unless it has its name already."""
        self._stream.close()
        self._partial.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard on disk: where its pixels begin, and what each record's checksum must be."""

    path: Path
    size_px: int
    offset: int
    checksums: np.ndarray

    @classmethod
    def open(cls, path: Path, size_px: int) -> Self:
        """Read a shard's header and checksums.

        Raises:
            ManifestError: There is no such file, or it is no whole shard of this size.
        """
        try:
            with path.open("rb") as stream:
                shape, dtype = _read_header(stream)
                offset = stream.tell()
                if dtype != np.uint8 or len(shape) != 4 or shape[1:] != (size_px, size_px, 3):
                    raise _unfit(path, f"uint8 records of shape (n, {size_px}, {size_px}, 3)", f"{dtype} {shape}")
                end = offset + shape[0] * size_px * size_px * 3
                stream.seek(end)
                checksums = np.load(stream, allow_pickle=False)
                whole = stream.read(1) == b"" and checksums.dtype == _CHECKSUM and checksums.shape == shape[:1]
        except (OSError, ValueError, EOFError) as error:
            raise _unfit(path, "a whole shard of records", str(error)) from error
        if not whole:
            raise _unfit(path, f"{shape[0]} checksums after the pixels, and nothing more", "something else")
        return cls(path, size_px, offset, checksums)

    def __len__(self) -> int:
        return len(self.checksums)

    def read(self, rows: np.ndarray, into: np.ndarray, places: np.ndarray) -> None:
        """Copy records to their places in a batch and check each.

        Args:
            rows: int ``(m,)``, places in this shard.
            into: uint8 ``(n, size_px, size_px, 3)``, C order.
            places: int ``(m,)``, where in ``into`` each record goes.

        Raises:
            ManifestError: The shard has no such row, or the file was cut short or removed.
            ArtifactCorrupt: The bytes of a record are not those that were written.
        """
        record_bytes = self.size_px * self.size_px * 3
        try:
            with self.path.open("rb", buffering=0) as stream:
                for row, place in zip(rows.tolist(), places.tolist(), strict=True):
                    if not 0 <= row < len(self):
                        raise _unfit(self.path, f"a row below {len(self)}", f"row {row}")
                    body = into[place].data.cast("B")
                    _read_at(stream.fileno(), body, self.offset + row * record_bytes)
                    self._check(row, zlib.crc32(body))
        except (OSError, EOFError) as error:
            raise _unfit(self.path, "a whole shard of records", str(error)) from error

    def verify(self) -> None:
        """Read every record once; raises as ``read`` does."""
        one, first = np.empty((1, self.size_px, self.size_px, 3), np.uint8), np.zeros(1, np.int64)
        for row in range(len(self)):
            self.read(np.array([row]), one, first)

    def _check(self, row: int, actual: int) -> None:
        expected = int(self.checksums[row])
        if actual != expected:
            raise ArtifactCorrupt(
                f"expected record {row} of {self.path} to have CRC-32 {expected:08x}, got {actual:08x}: the file "
                "changed after it was verified; open the dataset again, which mends a local copy and names what is "
                "damaged in the store",
                key=str(self.path),
                expected=f"{expected:08x}",
                actual=f"{actual:08x}",
            )


def _write_header(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("another version of numpy's format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran_order:
        raise ValueError("an array in Fortran's order")
    return shape, dtype


def _read_at(descriptor: int, body: memoryview, place: int) -> None:
    while body:
        n_read = os.preadv(descriptor, [body], place)
        if not n_read:
            raise EOFError("the file ends within a record")
        body, place = body[n_read:], place + n_read


def _unfit(path: Path, expected: str, actual: str) -> ManifestError:
    return ManifestError(f"expected {expected} in {path}, got {actual}; prepare the dataset again")
