"""Image file directories: what a TIFF says of its images, and EXIF of a photograph.

Tags are those of TIFF 6.0, TIFF/EP (ISO 12234-2) and DNG 1.7.
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lesion_core.images.failures import Unusable

NEW_SUBFILE_TYPE, SUBFILE_TYPE, BITS, COMPRESSION, PHOTOMETRIC, MAKE = 254, 255, 258, 259, 262, 271
ORIENTATION, SAMPLES, PLANAR, SUB_DIRECTORIES, SAMPLE_FORMAT, DNG_VERSION = 274, 277, 284, 330, 339, 50706
_WANTED = frozenset(
    (
        *(NEW_SUBFILE_TYPE, SUBFILE_TYPE, BITS, COMPRESSION, PHOTOMETRIC, MAKE, ORIENTATION),
        *(SAMPLES, PLANAR, SUB_DIRECTORIES, SAMPLE_FORMAT, DNG_VERSION),
    )
)
_MOST_ENTRIES, _MOST_VALUES = 50_000, 64
_KINDS = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}


@dataclass(frozen=True, slots=True)
class Directory:
    """One image file directory: whole numbers by tag, and where and in which form they lie in the file."""

    values: Mapping[int, Sequence[int]]
    places: Mapping[int, tuple[int, str]]

    def first(self, tag: int, default: int = 0) -> int:
        """Return the first number of a tag."""
        return next(iter(self.values.get(tag, ())), default)


class Reader:
    """Directories of a file, bounded: hostile files point in circles."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = 43 in data[2:4]
        self.n_entries = 0
        self.seen: set[int] = set()

    def numbers(self, form: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{self.order}{form}", self.data, offset)

    def chain(self) -> Iterator[Directory]:
        """Yield the pages one after the other."""
        offset = self.numbers("Q", 8)[0] if self.is_big else self.numbers("I", 4)[0]
        while offset and offset not in self.seen:
            directory, offset = self.read(offset)
            yield directory

    def below(self, directory: Directory) -> Iterator[Directory]:
        """Yield what hangs below a page."""
        for offset in directory.values.get(SUB_DIRECTORIES, ()):
            if offset not in self.seen:
                yield self.read(offset)[0]

    def read(self, offset: int) -> tuple[Directory, int]:
        """Return the directory at an offset, and the offset of the next one."""
        self.seen.add(offset)
        count_form, width, next_form = ("Q", 20, "Q") if self.is_big else ("H", 12, "I")
        (n,) = self.numbers(count_form, offset)
        self.n_entries += n + 1
        if self.n_entries > _MOST_ENTRIES:
            raise Unusable("its TIFF directories have no end")
        start = offset + struct.calcsize(f"={count_form}")
        values: dict[int, tuple[int, ...]] = {}
        places: dict[int, tuple[int, str]] = {}
        for at in range(start, start + n * width, width):
            tag, kind = self.numbers("HH", at)
            if tag in _WANTED and kind in _KINDS:
                with contextlib.suppress(struct.error):  # a value outside of the file costs that tag alone
                    values[tag], places[tag] = self._values(kind, at + 4)
        end = start + n * width
        is_cut = end + struct.calcsize(f"={next_form}") > len(self.data)
        return Directory(values, places), 0 if is_cut else self.numbers(next_form, end)[0]

    def _values(self, kind: int, at: int) -> tuple[tuple[int, ...], tuple[int, str]]:
        word, room = ("Q", 8) if self.is_big else ("I", 4)
        n, form = min(self.numbers(word, at)[0], _MOST_VALUES), _KINDS[kind]
        at += room
        if n * struct.calcsize(f"={form}") > room:
            (at,) = self.numbers(word, at)
        return self.numbers(f"{n}{form}", at), (at, form)


def is_tiff(data: bytes) -> bool:
    """Return whether a file begins as a TIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")


def orientation(exif: bytes) -> int:
    """Return the orientation that EXIF states, 1 to 8; 1 where it states none or is damaged.

    Args:
        exif: A TIFF without images, with or without the marker ``Exif`` before it.
    """
    data = exif.removeprefix(b"Exif\0\0")
    try:
        stated = next(Reader(data).chain()).first(ORIENTATION, 1) if is_tiff(data) else 1
    except (struct.error, OverflowError, MemoryError, StopIteration, Unusable):
        return 1
    return stated if 1 <= stated <= 8 else 1
