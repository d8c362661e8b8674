"""Camera raw files in small: the containers that cameras write, with a preview and a mosaic of made-up values."""

import numpy as np

from tests.faults.files.patches import colours
from tests.faults.files.tiff import COMPRESSION, DNG_VERSION, MAKE, PHOTOMETRIC, SUB_FILE_TYPE, Page, page, tiff

RGB, MOSAIC, LINEAR = 2, 32803, 34892


def _mosaic(photometric: int = MOSAIC) -> Page:
    return page(np.arange(96 * 128).reshape(96, 128) % 4096, photometric, bits=16)


def _preview(maker: str, below: tuple[Page, ...] = (), **tags: int | bytes) -> Page:
    plain = page(colours(), RGB, **{f"t{MAKE}": maker, f"t{SUB_FILE_TYPE}": 1}, **tags)
    return Page(plain.tags, plain.strips, below)


def with_preview(maker: str) -> bytes:
    """A thumbnail, below which the mosaic hangs: Nikon, Sony, Samsung, Hasselblad and others."""
    return tiff(_preview(maker, (_mosaic(),)), big_endian=False)


def dng(*, photometric: int = LINEAR) -> bytes:
    """Adobe's DNG with a thumbnail, a mosaic or linear values below it."""
    return tiff(_preview("Maker", (_mosaic(photometric),), **{f"t{DNG_VERSION}": [1, 4, 0, 0]}), big_endian=False)


def bare_mosaic() -> bytes:
    """A mosaic alone, as Pentax has it."""
    body = _mosaic()
    return tiff(Page({**body.tags, MAKE: "PENTAX", COMPRESSION: 65535}, body.strips))


def cr2() -> bytes:
    """Canon's second kind: its mark lies behind the header; the directories come later."""
    whole = tiff(_preview("Canon"))
    start = int.from_bytes(whole[4:8], "little")
    return whole[:4] + (start).to_bytes(4, "little") + b"CR\x02\0" + whole[12:]


def hidden_mosaic() -> bytes:
    """A page that says nothing of being a preview, and a mosaic as the second one."""
    return tiff(page(colours(), RGB), Page({**_mosaic().tags, PHOTOMETRIC: MOSAIC}, _mosaic().strips))


def raf() -> bytes:
    """Fujifilm's, which is no TIFF."""
    return b"FUJIFILMCCD-RAW 0201FF389501X-T5" + bytes(200)


def rw2() -> bytes:
    """Panasonic's: a TIFF under another number."""
    return tiff(_preview("Panasonic"), magic=b"U\0")


def orf() -> bytes:
    """Olympus's: the same under letters."""
    return tiff(_preview("OLYMPUS"), magic=b"RO")


def cr3() -> bytes:
    """Canon's third kind, in the container of films."""
    return b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(200)
