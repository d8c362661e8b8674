"""TIFF files of the decoder's table; no browser shows them, so what they mean comes from the definition alone."""

import io
import itertools
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from tests.faults.decoder_case import ROUNDING, DecoderCase, File
from tests.faults.files import profiles as icc
from tests.faults.files import raw
from tests.faults.files.patches import alpha, colours, deep, grey, meant, on_white, rgb
from tests.faults.files.tiff import (
    COLOUR_MAP,
    EXTRA,
    FILL_ORDER,
    FORMAT,
    ORIENTATION,
    PROFILE,
    SUB_FILE_TYPE,
    SUBSAMPLING,
    TILE_LENGTH,
    TILE_WIDTH,
    Page,
    page,
    tiff,
)
from tests.faults.photo_cases import inks, plainly, upright
from tests.faults.png_cases import ADOBE, ADOBE_GAMMA, GREY_LINEAR

WHITE_0, BLACK_0, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
FLOAT = 3
_NO_WHITE = "its colour mode {!r} is not one with a known black and white"
_LAYOUT = (
    "the TIFF's layout is not one that is read ({} samples of {} bits a pixel{}, photometric interpretation {}); "
    "export it as 8-bit RGB"
)
YCC_ROUNDING = 3  # YCbCr of 8 bits holds fewer colours than RGB: three roundings


def layouts() -> Iterator[tuple[str, dict[str, bool | int]]]:
    """Both orders of bytes, one strip or several, compressed or not."""
    for big_endian, rows, deflate in itertools.product((False, True), (0, 7), (False, True)):
        yield f"{big_endian} {rows} {deflate}", {"big_endian": big_endian, "rows": rows, "deflate": deflate}


def every(samples: np.ndarray, photometric: int, wanted: np.ndarray, **options: object) -> Mapping[str, File]:
    """The same samples in every layout."""
    files = {}
    for name, layout in layouts():
        body = tiff(page(samples, photometric, **layout, **options), big_endian=bool(layout["big_endian"]))
        files[name] = File(body, wanted)
    return files


def merged(*parts: tuple[str, Mapping[str, File]]) -> Mapping[str, File]:
    """Several kinds in one row."""
    return {f"{name} {one}": file for name, files in parts for one, file in files.items()}


def greys(photometric: int, depths: tuple[int, ...]) -> Mapping[str, File]:
    parts = []
    for bits in depths:
        samples, most = deep(grey(), bits), 2**bits - 1
        stored = most - samples if photometric == WHITE_0 else samples
        parts.append((f"{bits} bits", every(stored, photometric, rgb(samples / most * 255), bits=bits)))
    return merged(*parts)


def twelve() -> Mapping[str, File]:
    samples = deep(grey(), 12)
    files = {}
    for photometric, stored in ((BLACK_0, samples), (WHITE_0, 4095 - samples)):
        for rows in (0, 8):
            body = tiff(page(stored, photometric, bits=12, rows=rows))
            files[f"{photometric} {rows}"] = File(body, rgb(samples / 4095 * 255))
    return files


def rgbs() -> Mapping[str, File]:
    parts = []
    for bits, planar in itertools.product((8, 16), (False, True)):
        samples = deep(colours(), bits)
        wanted = samples / (2**bits - 1) * 255
        parts.append((f"{bits} {planar}", every(samples, RGB, wanted, bits=bits, planar=planar)))
    return merged(*parts)


def alphas() -> Mapping[str, File]:
    opacity, parts = alpha(), []
    for bits, planar in itertools.product((8, 16), (False, True)):
        scale = 257 if bits == 16 else 1
        apart = np.concatenate([colours().astype(int), opacity], axis=-1) * scale
        already = np.concatenate([np.rint(colours() * (scale * opacity / 255)).astype(int), opacity * scale], axis=-1)
        wanted = on_white(colours(), opacity)
        for kind, samples in ((UNASSOCIATED, apart), (ASSOCIATED, already)):
            options = {"bits": bits, "planar": planar, f"t{EXTRA}": kind}
            parts.append((f"{kind} {options}", every(samples, RGB, wanted, **options)))
        more = {"bits": bits, "planar": planar, f"t{EXTRA}": UNSPECIFIED}
        parts.append((f"unspecified {more}", every(apart, RGB, colours().astype(float), **more)))
    grey_alpha = np.concatenate([grey()[..., None].astype(int), opacity], axis=-1)
    parts.append(("grey", every(grey_alpha, BLACK_0, on_white(rgb(grey()), opacity), **{f"t{EXTRA}": UNASSOCIATED})))
    return merged(*parts)


def cmyks() -> Mapping[str, File]:
    parts = []
    for bits, planar in itertools.product((8, 16), (False, True)):
        samples = inks().astype(int) * (257 if bits == 16 else 1)
        parts.append((f"{bits} {planar}", every(samples, CMYK, plainly(inks()), bits=bits, planar=planar)))
    return merged(*parts)


def ycbcr() -> Mapping[str, File]:
    samples = np.asarray(Image.fromarray(colours()).convert("YCbCr")).astype(int)
    parts = [
        (f"{planar}", every(samples, YCBCR, colours().astype(float), planar=planar, **{f"t{SUBSAMPLING}": [1, 1]}))
        for planar in (False, True)
    ]
    return merged(*parts)


def palettes() -> Mapping[str, File]:
    image = Image.fromarray(colours()).quantize(16)
    numbers, used = np.asarray(image), np.array(image.getpalette()).reshape(-1, 3)[:16]
    parts = []
    for bits in (4, 8):
        table = np.zeros((2**bits, 3), int)
        table[:16] = used * 257
        wanted = used[numbers].astype(float)
        parts.append(
            (f"{bits}", every(numbers, PALETTE, wanted, bits=bits, **{f"t{COLOUR_MAP}": table.T.ravel().tolist()}))
        )
    return merged(*parts)


def profiles() -> Mapping[str, File]:
    adobe, linear = meant(colours(), ADOBE_GAMMA, icc.ADOBE_RGB), meant(rgb(grey()), 1.0)
    deep_linear = meant(rgb(deep(grey(), 16) / 257), 1.0)
    return merged(
        ("RGB", every(colours().astype(int), RGB, adobe, **{f"t{PROFILE}": ADOBE})),
        ("grey", every(grey().astype(int), BLACK_0, linear, **{f"t{PROFILE}": GREY_LINEAR})),
        ("grey, white 0", every(255 - grey().astype(int), WHITE_0, linear, **{f"t{PROFILE}": GREY_LINEAR})),
        ("16 bits", every(deep(grey(), 16), BLACK_0, deep_linear, bits=16, **{f"t{PROFILE}": GREY_LINEAR})),
        (
            "16 bits, white 0",
            every(65535 - deep(grey(), 16), WHITE_0, deep_linear, bits=16, **{f"t{PROFILE}": GREY_LINEAR}),
        ),
    )


def oriented() -> Mapping[str, File]:
    files = {}
    for number in range(1, 9):
        tags = {f"t{ORIENTATION}": number}
        turned, deeper = upright(number, colours()), upright(number, rgb(grey()))
        files[f"{number}"] = File(tiff(page(colours(), RGB, rows=7, **tags)), turned)
        files[f"{number}, 16 bits"] = File(
            tiff(page(65535 - grey().astype(int) * 257, WHITE_0, bits=16, deflate=True, **tags)), deeper
        )
    return files


def tiled() -> Mapping[str, File]:
    tiles = [colours()[top : top + 16, left : left + 32] for top in (0, 16, 32) for left in (0, 32)]
    plain = page(colours(), RGB)
    tags = {tag: value for tag, value in plain.tags.items() if tag != 278} | {TILE_WIDTH: 32, TILE_LENGTH: 16}
    return {"tiles": File(tiff(Page(tags, [tile.tobytes() for tile in tiles])), colours().astype(float))}


def reduced() -> Page:
    """A copy of half the size that says so."""
    return page(np.ascontiguousarray(colours()[::2, ::2]), RGB, **{f"t{SUB_FILE_TYPE}": 1})


def pyramids() -> Mapping[str, File]:
    full, wanted = page(colours(), RGB), colours().astype(float)
    deeper = page(65535 - grey().astype(int) * 257, WHITE_0, bits=16)
    hung = Page(full.tags, full.strips, (reduced(),))
    old = page(np.ascontiguousarray(colours()[::2, ::2]), RGB, t255=2)
    return {
        "copies behind it": File(tiff(full, reduced(), reduced()), wanted),
        "copy before it": File(tiff(reduced(), full), wanted),
        "copy below it": File(tiff(hung), wanted),
        "copy in the old way": File(tiff(old, full), wanted),
        "copy before a deep one": File(tiff(reduced(), deeper), rgb(grey()).astype(float)),
    }


def big() -> Mapping[str, File]:
    """A BigTIFF, as Pillow writes it."""
    stream = io.BytesIO()
    Image.fromarray(colours()).save(stream, "TIFF", big_tiff=True)
    return {"BigTIFF": File(stream.getvalue(), colours().astype(float))}


def bits_from_the_right() -> Mapping[str, File]:
    """Bits of a byte in the other order."""
    samples = (grey() > 100).astype(int)
    plain = page(samples, BLACK_0, bits=1, **{f"t{FILL_ORDER}": 2})
    turn = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
    body = tiff(Page(plain.tags, [strip.translate(turn) for strip in plain.strips]))
    return {"fill order 2": File(body, rgb(samples * 255.0))}


def bodies(*files: bytes) -> Mapping[str, File]:
    """Files of which nothing is expected."""
    return {str(number): File(body) for number, body in enumerate(files)}


def floats() -> Mapping[str, File]:
    values = (grey() / 255).astype(np.float32)
    return bodies(
        tiff(page(values, BLACK_0, bits=32, **{f"t{FORMAT}": FLOAT})),
        tiff(page(values, BLACK_0, bits=32, deflate=True, **{f"t{FORMAT}": FLOAT})),
    )


def planes_of_two() -> Mapping[str, File]:
    both = np.concatenate([grey()[..., None].astype(int), alpha()], axis=-1)
    options = {"planar": True, f"t{EXTRA}": UNASSOCIATED}
    return bodies(tiff(page(both, BLACK_0, **options)), tiff(page(both, BLACK_0, deflate=True, **options)))


def raws(*made: bytes) -> Mapping[str, File]:
    return bodies(*made)


def raw_case(name: str, *made: bytes) -> DecoderCase:
    """A row of raw files."""
    words = f" ({name})" if name else ""
    return DecoderCase(
        "camera raw", name or "a mosaic behind a plain image, or of an unknown camera",
        f"the file is a camera's raw file{words}; export it as JPEG or TIFF", lambda: raws(*made), is_refused=True,
    )  # fmt: skip


TIFF_CASES = (
    DecoderCase("TIFF", "grey of 1, 4, 8, 16 bits, black is 0 *", "as it is", lambda: greys(BLACK_0, (1, 4, 8, 16))),
    DecoderCase(
        "TIFF", "grey of 1, 4, 8, 16 bits, white is 0 *", "turned over", lambda: greys(WHITE_0, (1, 4, 8, 16))
    ),
    DecoderCase("TIFF", "grey of 12 bits, black or white is 0", "scaled over 12 bits", twelve),
    DecoderCase("TIFF", "RGB of 8, 16 bits, together or in planes *", "as it is", rgbs),
    DecoderCase(
        "TIFF", "alpha, associated, unassociated, unspecified; 8, 16 bits; planes *", "on white", alphas, off=2
    ),
    DecoderCase("TIFF", "CMYK of 8, 16 bits, together or in planes *", "by the plain formula", cmyks, off=ROUNDING),
    DecoderCase("TIFF", "YCbCr 4:4:4, together or in planes *", "converted", ycbcr, off=YCC_ROUNDING),
    DecoderCase("TIFF", "palette of 4, 8 bits *", "as it is", palettes, off=0),
    DecoderCase("TIFF", "ICC: RGB; grey of 8, 16 bits, black or white is 0 *", "converted", profiles),
    DecoderCase("TIFF", "orientation 1 to 8 (tag 274), 8-bit RGB and 16-bit grey", "turned upright", oriented, off=0),
    DecoderCase("TIFF", "tiles", "as it is", tiled, off=0),
    DecoderCase("TIFF", "BigTIFF", "as it is", big, off=0),
    DecoderCase("TIFF", "bits from the right (FillOrder 2)", "as it is", bits_from_the_right, off=0),
    DecoderCase(
        "TIFF", "reduced copies before, behind or below the full-size image", "the full-size image", pyramids, off=0
    ),
    DecoderCase(
        "TIFF", "a reduced copy alone",
        "the TIFF's page is a reduced copy of its image; export the full-size image as JPEG or TIFF",
        lambda: bodies(tiff(reduced())), is_refused=True,
    ),
    DecoderCase(
        "TIFF", "two full-size pages", "the file holds 2 frames, where one still image is expected",
        lambda: bodies(tiff(page(colours(), RGB), page(colours(), RGB))), is_refused=True,
    ),
    DecoderCase("TIFF", "floating-point numbers", _NO_WHITE.format("F"), floats, is_refused=True),
    DecoderCase(
        "TIFF", "signed 16-bit numbers", _NO_WHITE.format("I"),
        lambda: bodies(tiff(page(grey().astype(np.int16), BLACK_0, bits=16, **{f"t{FORMAT}": 2}))), is_refused=True,
    ),
    DecoderCase(
        "TIFF", "L\\*a\\*b\\*", _NO_WHITE.format("LAB"), lambda: bodies(tiff(page(colours(), LAB))), is_refused=True
    ),
    DecoderCase(
        "TIFF", "RGB of 12 bits", _LAYOUT.format(3, 12, "", RGB),
        lambda: bodies(tiff(page(deep(colours(), 12), RGB, bits=12))), is_refused=True,
    ),
    DecoderCase(
        "TIFF", "grey and alpha in planes", _LAYOUT.format(2, 8, ", in planes of their own", BLACK_0), planes_of_two,
        is_refused=True,
    ),
    raw_case("Nikon NEF", raw.with_preview("NIKON CORPORATION")),
    raw_case("Sony ARW", raw.with_preview("SONY")),
    raw_case("DNG", raw.dng(), raw.dng(photometric=raw.MOSAIC)),
    raw_case("Pentax PEF", raw.bare_mosaic()),
    raw_case("Canon CR2", raw.cr2()),
    raw_case("Canon CR3", raw.cr3()),
    raw_case("Fujifilm RAF", raw.raf()),
    raw_case("Panasonic RW2", raw.rw2()),
    raw_case("Olympus ORF", raw.orf()),
    raw_case("", raw.hidden_mosaic(), raw.with_preview("Nobody")),
)  # fmt: skip
