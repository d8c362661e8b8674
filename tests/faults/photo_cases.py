"""JPEG and WebP files of the decoder's table, and orientations in all formats that Chromium shows."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.decoder_case import LOSSY, ROUNDING, TABLED, DecoderCase, File
from tests.faults.files import profiles as icc
from tests.faults.files.jpeg import (
    ADOBE,
    adobe,
    encoded,
    jpeg,
    of_bits,
    with_profile,
    with_segment,
    without_segment,
)
from tests.faults.files.patches import alpha, colours, grey, meant, on_white
from tests.faults.files.png import RGB, png
from tests.faults.png_cases import ADOBE as ADOBE_RGB
from tests.faults.png_cases import ADOBE_GAMMA, GREY_LINEAR, LINEAR, P3

ORIENTATION, EXIF_IFD, COLOUR_SPACE = 0x0112, 0x8769, 0xA001
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_CUT = -20


def webp(pixels: np.ndarray, **options: Any) -> bytes:
    """The file of pixels, lossless if nothing else is said."""
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "WEBP", **{"lossless": True, "exact": True, **options})
    return stream.getvalue()


def inks() -> np.ndarray:
    """The image in CMYK, uint8 ``(48, 64, 4)``."""
    black = np.broadcast_to(np.linspace(0, 200, 48).round().astype(np.uint8)[:, None, None], (48, 64, 1))
    return np.concatenate([255 - colours(), black], axis=-1)


def plainly(cmyk: np.ndarray) -> np.ndarray:
    """CMYK in RGB by the plain formula."""
    return (255 - cmyk[..., :3].astype(float)) * (255 - cmyk[..., 3:].astype(float)) / 255


def alike(*bodies: bytes) -> Mapping[str, File]:
    """Files whose samples the format leaves to the decoder."""
    return {str(number): File(body) for number, body in enumerate(bodies)}


def samplings() -> Mapping[str, File]:
    progressive = jpeg(colours(), subsampling=2, progressive=True)
    plain = (jpeg(colours(), subsampling=sampling, quality=85) for sampling in (0, 1, 2))
    return alike(*plain, progressive, encoded("four-one-one"), jpeg(colours(), restart_marker_blocks=2))


def components() -> Mapping[str, File]:
    own = jpeg(colours(), keep_rgb=True)
    bare = without_segment(own, ADOBE)
    luminance = without_segment(jpeg(colours()), 0)
    return alike(
        own,
        bare,
        with_segment(bare, 0, _JFIF),
        luminance,
        with_segment(luminance, ADOBE, adobe(1)),
        with_segment(luminance, ADOBE, adobe(0)),
    )


def cmyk(profile: bytes = b"") -> Mapping[str, File]:
    of_adobe = jpeg(inks())
    bare = without_segment(of_adobe, ADOBE)
    bodies = (of_adobe, bare, with_segment(bare, ADOBE, adobe(2)))
    return alike(*(with_profile(body, profile) if profile else body for body in bodies))


def cmyk_by_table() -> Mapping[str, File]:
    body = jpeg(inks(), quality=100)
    samples = np.asarray(Image.open(io.BytesIO(body))) / 255
    return {"CMYK": File(with_profile(body, icc.cmyk_profile()), icc.inks_on_paper(samples) * 255)}


def profiles() -> Mapping[str, File]:
    body, one = jpeg(colours()), jpeg(grey())
    return alike(
        with_profile(body, P3),
        with_profile(body, ADOBE_RGB),
        with_profile(body, ADOBE_RGB, parts=3),
        with_profile(body, LINEAR),
        with_profile(one, GREY_LINEAR),
        with_profile(one, icc.grey_profile(icc.gamma_curve(1.0), version=4)),
        with_profile(one, LINEAR),
    )


def without_effect() -> Mapping[str, File]:
    plain = np.asarray(Image.open(io.BytesIO(jpeg(colours())))).astype(float)
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[COLOUR_SPACE] = 2  # as cameras mark Adobe RGB, besides naming the file _DSC
    exif[1] = "R03"
    body = jpeg(colours())
    bodies = {
        "EXIF says Adobe RGB": jpeg(colours(), exif=exif),
        "no profile": with_profile(body, b"nothing"),
        "a cut profile": with_profile(body, ADOBE_RGB[:300]),
        "a profile of grey": with_profile(body, GREY_LINEAR),
        "a profile of CMYK": with_profile(body, icc.cmyk_profile()),
    }
    return {name: File(each, plain) for name, each in bodies.items()}


def webps() -> Mapping[str, File]:
    both = np.concatenate([colours(), alpha()], axis=-1)
    adobe_rgb = meant(colours(), ADOBE_GAMMA, icc.ADOBE_RGB)
    unchanged = colours().astype(float)
    return {
        "lossless": File(webp(colours()), unchanged),
        "lossless, alpha": File(webp(both), on_white(unchanged, alpha())),
        "Display P3": File(webp(colours(), icc_profile=P3), meant(colours(), None, icc.DISPLAY_P3)),
        "Adobe RGB, alpha": File(webp(both, icc_profile=ADOBE_RGB), on_white(adobe_rgb, alpha())),
        "no profile": File(webp(colours(), icc_profile=b"nothing"), unchanged),
    }


def lossy_webps() -> Mapping[str, File]:
    both = np.concatenate([colours(), alpha()], axis=-1)
    lossy = {"lossless": False, "quality": 90}
    return alike(webp(colours(), **lossy), webp(both, **lossy), webp(colours(), icc_profile=ADOBE_RGB, **lossy))


def exif_of(orientation: int) -> Image.Exif:
    """EXIF that says how the image lies."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def upright(orientation: int, pixels: np.ndarray) -> np.ndarray:
    """Pixels as EXIF 2.32 defines an orientation: where row 0 and column 0 of the file lie."""
    turns = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1), 7: pixels[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(pixels),
    }  # fmt: skip
    return turns[orientation].astype(float)


def oriented_png(*, behind: bool = False) -> Mapping[str, File]:
    files = {}
    for number in range(1, 9):
        chunks = [(b"eXIf", exif_of(number).tobytes().removeprefix(b"Exif\0\0"))]
        body = png(colours(), RGB, 8, after=chunks) if behind else png(colours(), RGB, 8, *chunks)
        files[str(number)] = File(body, upright(number, colours()))
    return files


def oriented_jpeg() -> Mapping[str, File]:
    plain = np.asarray(Image.open(io.BytesIO(jpeg(colours()))))
    return {
        str(number): File(jpeg(colours(), exif=exif_of(number)), upright(number, plain)) for number in range(1, 9)
    }


def damaged_exif() -> Mapping[str, File]:
    plain = np.asarray(Image.open(io.BytesIO(jpeg(colours())))).astype(float)
    whole = exif_of(6).tobytes()
    other = exif_of(99).tobytes()
    garbage = b"Exif\0\0II*\0\xff\xff\xff\xff garbage"
    bodies = {"garbage": garbage, "cut": whole[:_CUT], "orientation 99": other, "text": b"Exif\0\0orientation 6"}
    return {name: File(with_segment(jpeg(colours()), 1, body), plain) for name, body in bodies.items()}


def oriented_webp() -> Mapping[str, File]:
    return {
        str(number): File(webp(colours(), exif=exif_of(number)), upright(number, colours())) for number in range(1, 9)
    }


def camera_s() -> Mapping[str, File]:
    stream = io.BytesIO()
    small = Image.fromarray(colours()).resize((32, 24))
    Image.fromarray(colours()).save(stream, "MPO", save_all=True, append_images=[small], quality=95, subsampling=0)
    return alike(stream.getvalue())


PHOTO_CASES = (
    DecoderCase("JPEG", "4:4:4, 4:2:2, 4:2:0, 4:1:1, progressive, restarts", "as it is", samplings, within=LOSSY),
    DecoderCase("JPEG", "grey", "as it is", lambda: alike(jpeg(grey())), within=LOSSY),
    DecoderCase("JPEG", "arithmetic coding", "as it is", lambda: alike(encoded("arithmetic")), within=LOSSY),
    DecoderCase(
        "JPEG", "RGB or YCbCr, as Adobe's segment, JFIF or the components' names say", "as it is", components,
        within=LOSSY,
    ),
    DecoderCase(
        "JPEG", "ICC: Display P3, Adobe RGB (also in 3 segments), linear; grey; of RGB on grey", "converted",
        profiles, within=LOSSY,
    ),
    DecoderCase(
        "JPEG", "a broken, cut or unfitting profile; EXIF that says Adobe RGB", "ignored", without_effect,
        within=LOSSY, off=0,
    ),
    DecoderCase("JPEG", "CMYK and YCCK, with or without Adobe's segment", "by the plain formula", cmyk, within=LOSSY),
    DecoderCase(
        "JPEG", "CMYK with a profile of RGB", "by the plain formula", lambda: cmyk(LINEAR), within=LOSSY
    ),
    DecoderCase(
        "JPEG", "CMYK with a profile of CMYK (lut16)", "converted by its definition", cmyk_by_table, off=TABLED,
        apart="Chromium reads such a table in the coding of version 4, and its black is lighter",
    ),
    DecoderCase(
        "JPEG", "lossless (predictors)", "as it is",
        lambda: {"lossless": File(encoded("lossless"), colours().astype(float))}, off=0,
        apart="Chromium does not show it",
    ),
    DecoderCase(
        "JPEG", "12 bits a sample", "the JPEG has 12 bits a sample; export it with 8 bits",
        lambda: alike(of_bits(jpeg(colours()), 12)), is_refused=True,
    ),
    DecoderCase("JPEG", "a camera's, with a preview (MPO)", "its first image", camera_s, within=LOSSY),
    DecoderCase("JPEG", "EXIF orientation 1 to 8", "turned upright", oriented_jpeg, within=LOSSY, off=0),
    DecoderCase("JPEG", "damaged EXIF", "as it lies", damaged_exif, within=LOSSY, off=0),
    DecoderCase("PNG", "eXIf orientation 1 to 8", "turned upright", oriented_png, off=0),
    DecoderCase(
        "PNG", "eXIf behind the pixels, orientation 1 to 8", "turned upright", lambda: oriented_png(behind=True),
        off=0, apart="Chromium reads what stands before the pixels",
    ),
    DecoderCase("WebP", "lossless; alpha; ICC: Display P3, Adobe RGB, broken", "converted, on white", webps, off=2),
    DecoderCase("WebP", "lossy; alpha; ICC: Adobe RGB", "converted, on white", lossy_webps, within=LOSSY),
    DecoderCase(
        "WebP", "EXIF orientation 1 to 8", "turned upright", oriented_webp, off=0, within=ROUNDING,
        apart="Chromium reads no EXIF of a WebP; other viewers do",
    ),
)  # fmt: skip
