"""PNG files of the decoder's table."""

import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image

from tests.faults.decoder_case import TABLED, DecoderCase, File
from tests.faults.files import profiles as icc
from tests.faults.files.patches import alpha, colours, deep, grey, meant, on_white, rgb
from tests.faults.files.png import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    Chunk,
    chromaticities,
    code_points,
    gamma,
    png,
    srgb,
)
from tests.faults.files.png import icc as iccp

DEPTHS = (1, 2, 4, 8, 16)
ADOBE_GAMMA = 563 / 256
LINEAR = icc.rgb_profile(icc.SRGB, icc.gamma_curve(1.0))
GREY_LINEAR = icc.grey_profile(icc.gamma_curve(1.0))
P3 = icc.rgb_profile(icc.DISPLAY_P3, icc.srgb_curve(), version=4)
ADOBE = icc.rgb_profile(icc.ADOBE_RGB, icc.gamma_curve(ADOBE_GAMMA))
KEY = (30_000, 40_001, 50_002)


def plain(*chunks: Chunk) -> bytes:
    """The image in 8-bit RGB."""
    return png(colours(), RGB, 8, *chunks)


def greys(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey samples of a depth, and what they are of 255."""
    samples = deep(grey(), depth)
    return samples, samples / (2**depth - 1) * 255


def depths_of_grey() -> Mapping[str, File]:
    files = {}
    for depth in DEPTHS:
        samples, values = greys(depth)
        for interlaced in (False, True):
            body = png(samples, GREY, depth, interlaced=interlaced)
            files[f"{depth} bits, interlaced {interlaced}"] = File(body, rgb(values))
    return files


def depths_of_rgb() -> Mapping[str, File]:
    files = {}
    for depth in (8, 16):
        samples = deep(colours(), depth)
        for interlaced in (False, True):
            body = png(samples, RGB, depth, interlaced=interlaced)
            files[f"{depth} bits, interlaced {interlaced}"] = File(body, samples / (2**depth - 1) * 255)
    return files


def palettes(*chunks: Chunk, opacities: bytes = b"") -> Mapping[str, File]:
    files = {}
    for depth in (1, 2, 4, 8):
        image = Image.fromarray(colours()).quantize(2**depth)
        numbers, n = np.asarray(image), 2**depth
        table = bytes(image.getpalette() or ()).ljust(3 * n, b"\0")[: 3 * n]
        clear = [(b"tRNS", opacities[:n])] if opacities else []
        body = png(numbers, PALETTE, depth, *chunks, (b"PLTE", table), *clear, interlaced=depth == 8)
        values = np.frombuffer(table, np.uint8).reshape(-1, 3)[numbers].astype(float)
        if opacities:
            opacity = np.frombuffer(opacities[:n].ljust(n, b"\xff"), np.uint8)[numbers][..., None]
            values = on_white(values, opacity)
        files[f"{depth} bits"] = File(body, values if not chunks else None)
    return files


def with_alpha() -> Mapping[str, File]:
    files = {}
    for depth in (8, 16):
        opacity = deep(alpha(), depth)
        share = opacity / (2**depth - 1) * 255
        for kind, colour in ((GREY_ALPHA, grey()[..., None]), (RGB_ALPHA, colours())):
            samples = deep(colour, depth)
            body = png(np.concatenate([samples, opacity], axis=-1), kind, depth)
            whole = np.broadcast_to(samples / (2**depth - 1) * 255, (*samples.shape[:2], 3))
            files[f"kind {kind}, {depth} bits"] = File(body, on_white(whole, share))
    return files


def one_clear_grey() -> Mapping[str, File]:
    files = {}
    for depth in DEPTHS:
        samples, values = greys(depth)
        clear = int(samples[30, 30])
        body = png(samples, GREY, depth, (b"tRNS", struct.pack(">H", clear)))
        files[f"{depth} bits"] = File(body, rgb(np.where(samples == clear, 255.0, values)))
    return files


def one_clear_colour() -> Mapping[str, File]:
    deeper = deep(colours(), 16)
    deeper[20:30, 20:30] = KEY
    deeper[30:40, 20:30] = (KEY[0] + 1, *KEY[1:])  # the same in 8 bits
    whole = deeper / 65535 * 255
    cut = np.where((deeper == KEY).all(axis=-1)[..., None], 255.0, whole)
    corner = colours()
    shown = np.where((corner == (250, 20, 20)).all(axis=-1)[..., None], 255.0, corner)
    return {
        "16 bits": File(png(deeper, RGB, 16, (b"tRNS", struct.pack(">3H", *KEY))), cut),
        "8 bits": File(png(corner, RGB, 8, (b"tRNS", struct.pack(">3H", 250, 20, 20))), shown),
    }


def of_gamma() -> Mapping[str, File]:
    values = (0.2, 0.5, 0.55556, 1.0, 2.5)
    return {f"{value}": File(plain(gamma(value)), meant(colours(), 1 / round(value, 5))) for value in values}


def of_usual_gamma() -> Mapping[str, File]:
    return {f"{value}": File(plain(gamma(value)), colours().astype(float)) for value in (0.44, 0.45455, 0.47)}


def grey_of_gamma() -> Mapping[str, File]:
    files = {}
    for depth in DEPTHS:
        samples, values = greys(depth)
        files[f"{depth} bits"] = File(png(samples, GREY, depth, gamma(1.0)), meant(rgb(values), 1.0))
    return files


def of_gamma_and_points() -> Mapping[str, File]:
    files = {}
    for name, points in (("sRGB", icc.SRGB), ("Adobe RGB", icc.ADOBE_RGB), ("Display P3", icc.DISPLAY_P3)):
        for value in (0.45455, 1.0):
            body = plain(gamma(value), chromaticities(points))
            files[f"{name}, {value}"] = File(body, meant(colours(), 1 / value, points))
    return files


def ranked() -> Mapping[str, File]:
    unchanged, p3 = colours().astype(float), meant(colours(), None, icc.DISPLAY_P3)
    adobe = meant(colours(), ADOBE_GAMMA, icc.ADOBE_RGB)
    linear = meant(colours(), 1.0)
    return {
        "sRGB before gAMA": File(plain(srgb(), gamma(1.0)), unchanged),
        "sRGB after gAMA": File(plain(gamma(1.0), srgb()), unchanged),
        "iCCP before sRGB": File(plain(iccp(ADOBE), srgb()), adobe),
        "iCCP before gAMA": File(plain(gamma(1.0), iccp(ADOBE)), adobe),
        "cICP before iCCP": File(plain(code_points(12, 13), iccp(ADOBE)), p3),
        "cICP before all": File(plain(gamma(1.0), srgb(), code_points(12, 13)), p3),
        "no profile, then gAMA": File(plain(iccp(b"nothing"), gamma(1.0)), linear),
        "broken iCCP, then gAMA": File(plain((b"iCCP", b"test\0\0none"), gamma(1.0)), linear),
    }


def coded() -> Mapping[str, File]:
    dci = ((0.314, 0.351), *icc.DISPLAY_P3[1:])
    wide = (icc.D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
    of = {
        (1, 13): (icc.SRGB, None), (1, 8): (icc.SRGB, 1.0), (1, 4): (icc.SRGB, 2.2), (1, 5): (icc.SRGB, 2.8),
        (1, 1): (icc.SRGB, 2.4), (1, 6): (icc.SRGB, 2.4), (12, 13): (icc.DISPLAY_P3, None),
        (12, 1): (icc.DISPLAY_P3, 2.4), (9, 14): (wide, 2.4), (9, 15): (wide, 2.4), (9, 13): (wide, None),
        (11, 13): (dci, None),
    }  # fmt: skip
    more = ((4, 4), (5, 13), (6, 6), (1, 7))
    known = {
        f"{primaries}/{transfer}": File(plain(code_points(primaries, transfer)), meant(colours(), exponent, space))
        for (primaries, transfer), (space, exponent) in of.items()
    }
    return known | {f"{one}/{two}": File(plain(code_points(one, two))) for one, two in more}


def grey_with_profile() -> Mapping[str, File]:
    files = {}
    for depth in DEPTHS[1:]:
        samples, values = greys(depth)
        wanted = meant(rgb(values), 1.0)
        files[f"{depth} bits, of grey"] = File(png(samples, GREY, depth, iccp(GREY_LINEAR)), wanted)
        files[f"{depth} bits, of RGB"] = File(png(samples, GREY, depth, iccp(LINEAR)), wanted)
    both = np.concatenate([grey()[..., None], alpha()], axis=-1)
    shown = on_white(meant(rgb(grey()), 1.0), alpha())
    return files | {"with alpha": File(png(both, GREY_ALPHA, 8, iccp(GREY_LINEAR)), shown)}


def with_profile() -> Mapping[str, File]:
    p3, adobe = meant(colours(), None, icc.DISPLAY_P3), meant(colours(), ADOBE_GAMMA, icc.ADOBE_RGB)
    of_version_4 = icc.rgb_profile(icc.SRGB, icc.gamma_curve(1.0), version=4)
    both = np.concatenate([colours(), alpha()], axis=-1)
    return {
        "Display P3, version 4": File(plain(iccp(P3)), p3),
        "Adobe RGB, version 2": File(plain(iccp(ADOBE)), adobe),
        "linear light, version 2": File(plain(iccp(LINEAR)), meant(colours(), 1.0)),
        "linear light, version 4": File(plain(iccp(of_version_4)), meant(colours(), 1.0)),
        "with alpha": File(png(both, RGB_ALPHA, 8, iccp(ADOBE)), on_white(adobe, alpha())),
        "interlaced": File(png(colours(), RGB, 8, iccp(P3), interlaced=True), p3),
    }


def unfitting() -> Mapping[str, File]:
    unchanged = colours().astype(float)
    return {
        "of grey": File(plain(iccp(GREY_LINEAR)), unchanged),
        "of CMYK": File(plain(iccp(icc.cmyk_profile())), unchanged),
        "no profile": File(plain(iccp(b"nothing")), unchanged),
        "cut": File(plain(iccp(ADOBE[:300])), unchanged),
        "gAMA of 0": File(plain(gamma(0)), unchanged),
        "gAMA and cHRM of zeros": File(plain(gamma(1.0), chromaticities([(0, 0)] * 4)), unchanged),
        "gAMA and cHRM of one point": File(plain(gamma(1.0), chromaticities([icc.D65] * 4)), unchanged),
        "cHRM alone": File(plain(chromaticities(icc.ADOBE_RGB)), unchanged),
        "cICP in a narrow range": File(plain(code_points(12, 13, full_range=0)), unchanged),
        "cICP of unknown primaries": File(plain(code_points(3, 13)), unchanged),
        "cICP of a logarithmic transfer": File(plain(code_points(1, 9)), unchanged),
    }


def deep_with_profile() -> Mapping[str, File]:
    samples = deep(colours(), 16)
    linear, p3 = png(samples, RGB, 16, gamma(1.0)), png(samples, RGB, 16, iccp(P3))
    cut = (samples >> 8).astype(float)  # what Pillow keeps of 16 bits, and Chromium as well
    return {"gAMA 1.0": File(linear, meant(cut, 1.0)), "P3": File(p3, meant(cut, None, icc.DISPLAY_P3))}


def texts() -> Mapping[str, File]:
    keys = (b"transparency", b"icc_profile", b"gamma", b"exif", b"srgb")
    return {key.decode(): File(plain((b"tEXt", key + b"\0" + b"1")), colours().astype(float)) for key in keys}


def tabled() -> Mapping[str, File]:
    return {"RGB": File(plain(iccp(icc.rgb_table_profile())), icc.swapped(colours() / 255) * 255)}


def two(name: str, *bodies: bytes) -> Mapping[str, File]:
    """Files without a meaning of their own."""
    return {f"{name} {number}": File(body) for number, body in enumerate(bodies)}


PNG_CASES = (
    DecoderCase("PNG", "grey of 1, 2, 4, 8, 16 bits, interlaced or not", "as it is", depths_of_grey),
    DecoderCase("PNG", "RGB of 8, 16 bits, interlaced or not", "as it is", depths_of_rgb),
    DecoderCase("PNG", "palette of 1, 2, 4, 8 bits", "as it is", palettes, off=0),
    DecoderCase("PNG", "alpha: grey and RGB of 8, 16 bits", "laid on white", with_alpha, off=2),
    DecoderCase("PNG", "one transparent grey (tRNS) of 1, 2, 4, 8, 16 bits", "laid on white", one_clear_grey),
    DecoderCase("PNG", "one transparent colour (tRNS) of 8, 16 bits", "laid on white", one_clear_colour),
    DecoderCase(
        "PNG",
        "palette with transparency (tRNS)",
        "laid on white",
        lambda: palettes(opacities=bytes((0, 128, 255, 9))),
    ),
    DecoderCase("PNG", "gAMA 0.2 to 2.5", "converted", of_gamma),
    DecoderCase("PNG", "gAMA within 5 % of 1/2.2", "as sRGB", of_usual_gamma, off=0),
    DecoderCase("PNG", "gAMA 1.0, grey of 1 to 16 bits", "converted", grey_of_gamma),
    DecoderCase("PNG", "gAMA 1.0, palette", "converted", lambda: palettes(gamma(1.0))),
    DecoderCase("PNG", "gAMA and cHRM of sRGB, Adobe RGB, Display P3", "converted", of_gamma_and_points),
    DecoderCase("PNG", "several of cICP, iCCP, sRGB, gAMA", "the first of these that can be used", ranked),
    DecoderCase("PNG", "iCCP: Display P3, Adobe RGB, linear light; versions 2, 4", "converted", with_profile),
    DecoderCase("PNG", "iCCP on grey of 2 to 16 bits, of grey and of RGB", "converted", grey_with_profile),
    DecoderCase("PNG", "gAMA or iCCP on RGB of 16 bits", "converted from the high byte", deep_with_profile),
    DecoderCase("PNG", "cICP: 16 pairs of code points", "converted", coded),
    DecoderCase("PNG", "colours of another kind, broken or unknown", "ignored", unfitting, off=0),
    DecoderCase("PNG", "texts called as Pillow calls colours", "ignored", texts, off=0),
    DecoderCase(
        "PNG",
        "iCCP: a table to L\\*a\\*b\\* (lut16)",
        "converted by its definition",
        tabled,
        off=TABLED,
        apart="Chromium reads such a table in the coding of version 4",
    ),
    DecoderCase(
        "PNG",
        "cICP: PQ, HLG",
        "it is an image in high dynamic range (HLG); export it in standard dynamic range; "
        "it is an image in high dynamic range (PQ); export it in standard dynamic range",
        lambda: two("high", plain(code_points(9, 16)), plain(code_points(9, 18))),
        apart="Chromium maps tones by a rule of its own",
        is_refused=True,
    ),
)
