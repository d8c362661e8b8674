"""BMP and GIF files of the decoder's table, and animations."""

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.decoder_case import DecoderCase, File
from tests.faults.files import profiles as icc
from tests.faults.files.bmp import BIT_FIELDS, RLE4, RLE8, bmp
from tests.faults.files.patches import alpha, colours, grey, meant, on_white
from tests.faults.png_cases import ADOBE, ADOBE_GAMMA

_BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_565, _555, _1555 = (0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F), (0x7C00, 0x3E0, 0x1F, 0x8000)
_4444, _TEN = (0xF00, 0xF0, 0xF, 0xF000), (0x3FF00000, 0xFFC00, 0x3FF)
_V3, _V4, _V5, _OS2 = 56, 108, 124, 12
_MANY = 200


def palette(bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, their colours, and the image that they make."""
    image = Image.fromarray(colours()).quantize(2**bits)
    table = np.frombuffer(bytes(image.getpalette() or ()).ljust(3 * 2**bits, b"\0")[: 3 * 2**bits], np.uint8)
    numbers, entries = np.asarray(image), table.reshape(-1, 3)
    return numbers, entries, entries[numbers].astype(float)


def palettes() -> Mapping[str, File]:
    files = {}
    for bits in (1, 4, 8):
        numbers, entries, wanted = palette(bits)
        for name, options in (("", {}), (", top-down", {"top_down": True}), (", OS/2", {"header": _OS2})):
            files[f"{bits} bits{name}"] = File(bmp(numbers, bits, palette=entries, **options), wanted)
    swapped = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)
    bright = (grey() > 100).astype(int)
    shown = np.repeat(np.where(bright, 0.0, 255.0)[..., None], 3, axis=-1)
    return files | {"white first": File(bmp(bright, 1, palette=swapped), shown)}


def runs() -> Mapping[str, File]:
    numbers, entries, wanted = palette(8)
    return {"8 bits": File(bmp(numbers, 8, palette=entries, compression=RLE8), wanted)}


def short_runs() -> Mapping[str, File]:
    numbers, entries, wanted = palette(4)
    return {"4 bits": File(bmp(numbers, 4, palette=entries, compression=RLE4), wanted)}


def packed(masks: tuple[int, ...], samples: np.ndarray) -> np.ndarray:
    """Samples of 8 bits in the bits of these masks."""
    total = np.zeros(samples.shape[:2], np.int64)
    for number, mask in enumerate(masks):
        low = (mask & -mask).bit_length() - 1
        total |= (samples[..., number].astype(np.int64) * (mask >> low) // 255) << low
    return total


def whole() -> Mapping[str, File]:
    bgr, wanted = colours()[..., ::-1], colours().astype(float)
    filled = np.concatenate([bgr, np.zeros((48, 64, 1), np.uint8)], axis=-1)
    return {
        "24 bits": File(bmp(bgr, 24), wanted),
        "24 bits, top-down": File(bmp(bgr, 24, top_down=True), wanted),
        "24 bits, OS/2": File(bmp(bgr, 24, header=_OS2), wanted),
        "32 bits": File(bmp(filled, 32), wanted),
        "32 bits, three masks": File(bmp(filled, 32, masks=_BGRA[:3], compression=BIT_FIELDS), wanted),
    }


def sixteen() -> Mapping[str, File]:
    fives = np.rint(np.rint(colours() / 255 * 31 - 0.499) / 31 * 255)
    return {
        "555": File(bmp(packed(_555, colours()), 16), fives),
        "565": File(bmp(packed(_565, colours()), 16, masks=_565, compression=BIT_FIELDS)),
        "565, version 4": File(
            bmp(packed(_565, colours()), 16, masks=(*_565, 0), compression=BIT_FIELDS, header=_V4)
        ),
    }


def with_alpha() -> Mapping[str, File]:
    both = np.concatenate([colours()[..., ::-1], alpha()], axis=-1)
    wanted = on_white(colours(), alpha())
    return {
        str(header): File(bmp(both, 32, masks=_BGRA, compression=BIT_FIELDS, header=header), wanted)
        for header in (_V3, _V4, _V5)
    }


def undefined_alpha() -> Mapping[str, File]:
    both = np.concatenate([colours()[..., ::-1], alpha()], axis=-1)
    return {"version 4": File(bmp(both, 32, masks=_BGRA, header=_V4), colours().astype(float))}


def small_alpha() -> Mapping[str, File]:
    both = np.concatenate([colours(), alpha()], axis=-1)
    return {
        str(masks): File(bmp(packed(masks, both), 16, masks=masks, compression=BIT_FIELDS, header=_V4))
        for masks in (_1555, _4444)
    }


def tens() -> Mapping[str, File]:
    return {"10 bits": File(bmp(packed(_TEN, colours()), 32, masks=_TEN, compression=BIT_FIELDS))}


def with_profile() -> Mapping[str, File]:
    none = {"header": _V5, "masks": (0, 0, 0, 0)}
    wanted = meant(colours(), ADOBE_GAMMA, icc.ADOBE_RGB)
    bgr = colours()[..., ::-1]
    return {
        "Adobe RGB": File(bmp(bgr, 24, colour=b"DEBM", profile=ADOBE, **none), wanted),
        "sRGB": File(bmp(bgr, 24, colour=b"BGRs", **none), colours().astype(float)),
        "broken": File(bmp(bgr, 24, colour=b"DEBM", profile=b"nothing", **none), colours().astype(float)),
    }


def gif(**options: Any) -> bytes:
    """The file of one frame."""
    stream = io.BytesIO()
    Image.fromarray(colours()).quantize(_MANY).save(stream, "GIF", **options)
    return stream.getvalue()


def gifs() -> Mapping[str, File]:
    image = Image.fromarray(colours()).quantize(_MANY)
    numbers, wanted = np.asarray(image), np.asarray(image.convert("RGB")).astype(float)
    clear = int(numbers[20, 20])
    shown = np.where((numbers == clear)[..., None], 255.0, wanted)
    return {
        "plain": File(gif(), wanted),
        "interlaced": File(gif(interlace=1), wanted),
        "transparent": File(gif(transparency=clear), shown),
    }


def uncovered() -> Mapping[str, File]:
    wide = bytearray(gif())
    wide[6:10] = struct.pack("<HH", 80, 60)
    wanted = np.full((60, 80, 3), 255.0)
    wanted[:48, :64] = np.asarray(Image.fromarray(colours()).quantize(_MANY).convert("RGB"))
    return {"80 × 60": File(bytes(wide), wanted)}


def animations() -> Mapping[str, File]:
    frames = [Image.fromarray(colours()), Image.fromarray(colours()[::-1])]
    files = {}
    for format_ in ("GIF", "PNG", "WEBP"):
        stream = io.BytesIO()
        frames[0].save(stream, format_, save_all=True, append_images=frames[1:])
        files[format_] = File(stream.getvalue())
    return files


BITMAP_CASES = (
    DecoderCase("BMP", "palette of 1, 4, 8 bits; top-down; OS/2", "as it is", palettes, off=0),
    DecoderCase("BMP", "RGB of 24, 32 bits; top-down; OS/2; three masks", "as it is", whole, off=0),
    DecoderCase("BMP", "16 bits: 555, 565", "scaled to 8 bits", sixteen),
    DecoderCase("BMP", "32 bits with a mask for alpha, versions 3, 4, 5", "laid on white", with_alpha),
    DecoderCase("BMP", "runs of 8 bits", "as it is", runs, off=0),
    DecoderCase("BMP", "version 5: an ICC profile, sRGB, a broken profile", "converted", with_profile),
    DecoderCase(
        "BMP",
        "32 bits, a mask for alpha, but not told to use masks",
        "as opaque",
        undefined_alpha,
        off=0,
        apart="the format defines no alpha there; Chromium takes it",
    ),
    DecoderCase(
        "BMP",
        "runs of 4 bits",
        "the BMP is packed in runs of 4 bits; export it as PNG",
        short_runs,
        apart="Pillow miscounts runs of odd length",
        is_refused=True,
    ),
    DecoderCase(
        "BMP",
        "alpha in 16 bits",
        "the BMP has transparency in 16 bits a pixel; export it as PNG",
        small_alpha,
        apart="Pillow drops this alpha",
        is_refused=True,
    ),
    DecoderCase(
        "BMP",
        "10 bits a colour",
        "the BMP's layout is not one that is read; export it as PNG",
        tens,
        apart="Pillow reads no such masks",
        is_refused=True,
    ),
    DecoderCase("GIF", "plain, interlaced, transparent", "on white", gifs, off=0),
    DecoderCase("GIF", "a frame that does not cover the whole", "the rest is white", uncovered, off=0),
    DecoderCase(
        "GIF, PNG, WebP",
        "animations",
        "the file holds 2 frames, where one still image is expected",
        animations,
        apart="which frame is meant cannot be known",
        is_refused=True,
    ),
)
