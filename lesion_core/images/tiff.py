"""Which of a TIFF's images is meant, and how its samples are to be read; decided before it is decoded."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from lesion_core.images.directories import (
    BITS,
    COMPRESSION,
    DNG_VERSION,
    MAKE,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    PLANAR,
    SAMPLE_FORMAT,
    SAMPLES,
    SUBFILE_TYPE,
    Directory,
    Reader,
)
from lesion_core.images.failures import Unusable
from lesion_core.images.foreign import raw_file

_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_SENSOR = (32803, 34892)  # a colour filter's mosaic, and one taken apart: the sensor's values, not yet colours
_SENSOR_COMPRESSIONS = frozenset(
    (32767, 32769, 32770, 34713, 65000, 65535)
)  # Sony, Epson, Samsung, Nikon, Kodak, Pentax
_CAMERAS: tuple[tuple[bytes, str], ...] = (
    (b"nikon", "Nikon NEF"),
    (b"canon", "Canon CR2"),
    (b"sony", "Sony ARW"),
    (b"pentax", "Pentax PEF"),
    (b"ricoh", "Pentax PEF"),
    (b"samsung", "Samsung SRW"),
    (b"hasselblad", "Hasselblad 3FR"),
    (b"eastman kodak", "Kodak DCR"),
    (b"kodak", "Kodak DCR"),
    (b"seiko epson", "Epson ERF"),
    (b"mamiya", "Mamiya MEF"),
    (b"leaf", "Leaf MOS"),
    (b"phase one", "Phase One IIQ"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the one image of a TIFF is to be read.

    Attributes:
        page: Its place among the file's pages.
        deepest: Greatest value of a sample.
        is_turned_over: Whether white is zero and the decoder does not see to it.
        data: The file, as the decoder reads it rightly.
        directory: What its directory says.
    """

    page: int
    deepest: int
    is_turned_over: bool
    data: bytes
    directory: Directory


def read_layout(data: bytes) -> Layout:
    """Return how a TIFF's one full-size image is to be read.

    Raises:
        Unusable: It is a camera's raw file, it has several images or only a reduced one, or its directories are
            damaged.
    """
    try:
        reader = Reader(data)
        pages = list(reader.chain())
        everything = [*pages, *(one for page in pages for one in reader.below(page))]
    except (struct.error, OverflowError, MemoryError) as error:
        raise Unusable("the image is damaged or cut short (its TIFF directories lead out of the file)") from error
    if any(_holds_sensor_values(one) for one in everything):
        raise Unusable(raw_file(_camera(everything)))
    whole = [number for number, page in enumerate(pages) if not _is_reduced(page)]
    if len(whole) > 1:
        raise Unusable(f"the file holds {len(whole)} frames, where one still image is expected")
    if not whole:
        raise Unusable("the TIFF's page is a reduced copy of its image; export the full-size image as JPEG or TIFF")
    return _layout(data, whole[0], pages[whole[0]], reader.order)


def _layout(data: bytes, number: int, page: Directory, order: str) -> Layout:
    bits = page.first(BITS, 1)
    is_deep = bits in (12, 16) and page.first(SAMPLES, 1) == 1 and page.first(SAMPLE_FORMAT, 1) == 1
    if page.first(SAMPLES, 1) == 2 and page.first(PLANAR, 1) == 2:  # Pillow 12 takes the alpha of it for grey
        raise Unusable(words_of_layout(page))
    is_turned_over = is_deep and page.first(PHOTOMETRIC) == _WHITE_IS_ZERO and PHOTOMETRIC in page.places
    if is_turned_over:  # Pillow 12 does not turn it over, or does not read it: the tag is changed to "black is zero"
        changed = bytearray(data)
        at, form = page.places[PHOTOMETRIC]
        struct.pack_into(f"{order}{form}", changed, at, _BLACK_IS_ZERO)
        data = bytes(changed)
    return Layout(number, 2**bits - 1 if is_deep else 255, is_turned_over, data, page)


def words_of_layout(page: Directory) -> str:
    """Say that the samples of a page cannot be read as they lie."""
    n, bits, photometric = page.first(SAMPLES, 1), page.first(BITS, 1), page.first(PHOTOMETRIC)
    planes = ", in planes of their own" if page.first(PLANAR, 1) == 2 else ""
    return (
        f"the TIFF's layout is not one that is read ({n} samples of {bits} bits a pixel{planes}, photometric "
        f"interpretation {photometric}); export it as 8-bit RGB"
    )


def _is_reduced(page: Directory) -> bool:
    """Return whether a page says of itself that it is a smaller copy of another image."""
    return bool(page.first(NEW_SUBFILE_TYPE) & 1) or page.first(SUBFILE_TYPE) == 2


def _holds_sensor_values(page: Directory) -> bool:
    """Return whether a page's pixels are what a camera's sensor saw, or come with them."""
    return (
        DNG_VERSION in page.values
        or page.first(PHOTOMETRIC) in _SENSOR
        or page.first(COMPRESSION) in _SENSOR_COMPRESSIONS
    )


def _camera(directories: Sequence[Directory]) -> str:
    if any(DNG_VERSION in one.values for one in directories):
        return "DNG"
    made = bytes(next((one.values[MAKE] for one in directories if MAKE in one.values), ())).lower()
    return next((name for start, name in _CAMERAS if made.startswith(start)), "")
