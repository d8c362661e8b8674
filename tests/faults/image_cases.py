"""Files that come in place of an image, and images that are not what their name says."""

import numpy as np

from tests.faults.case import ImageCase
from tests.faults.expected import Reported, Used
from tests.faults.files import raw
from tests.faults.files.jpeg import of_bits
from tests.faults.images import (
    CORNER,
    SKIN,
    SPOT,
    bomb,
    cut,
    encoded,
    in_linear_light,
    noise,
    pyramid,
    reduced_copy,
    sample_image,
    see_through,
    several,
    sixteen_bit_grey,
    sixteen_bit_tiff,
    text_bomb,
    turned,
    with_broken_exif,
    with_gamma,
    with_preview,
    with_wrong_checksum,
)

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def _grey(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    level = round(float(np.dot(colour, (0.299, 0.587, 0.114))))  # ITU-R BT.601, as Pillow has it
    return (level, level, level)


_GREY = {"corner": _grey(CORNER), "centre": _grey(SPOT), "below": _grey(SKIN)}

_TEXT_BOMB = "the image is damaged or cut short (Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK)"

IMAGE_CASES = (
    ImageCase("a file of no bytes", Reported("the file is empty"), lambda: b""),
    ImageCase(
        "a JPEG cut in the middle",
        Reported("the image is damaged or cut short (image file is truncated (some bytes not processed))"),
        lambda: cut(noise(), 0.5),
    ),
    ImageCase(
        "a PNG cut at 99 %",
        Reported("the image is damaged or cut short (image file is truncated)"),
        lambda: cut(noise("PNG"), 0.99),
    ),
    ImageCase(
        "a PNG with one byte changed",
        Reported("the image is damaged or cut short (broken data stream when reading image file)"),
        with_wrong_checksum,
    ),
    ImageCase(
        "zeros, of a likely length",
        Reported("the file is no JPEG, PNG, WebP, TIFF, BMP or GIF image"),
        lambda: bytes(4000),
    ),
    ImageCase(
        "an HTML page",
        Reported("the file is an HTML page, probably an error page of a download"),
        lambda: b"<!doctype html><title>Sign in</title>",
    ),
    ImageCase(
        "an HTML page behind a byte order mark",
        Reported("the file is an HTML page, probably an error page of a download"),
        lambda: b"\xef\xbb\xbf\r\n<html><body>502 Bad Gateway</body></html>",
    ),
    ImageCase(
        "an SVG drawing",
        Reported("the file is an SVG drawing"),
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"/>',
    ),
    ImageCase(
        "an object store's error in XML",
        Reported("the file is an XML document"),
        lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    ),
    ImageCase(
        "an API's error in JSON",
        Reported("the file is a JSON document, probably an error of a download"),
        lambda: b'{"detail": "Not found."}',
    ),
    ImageCase("a PDF", Reported("the file is a PDF document"), lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    ImageCase(
        "a telephone's HEIC",
        Reported("the file is a HEIC photograph"),
        lambda: b"\0\0\0\x18ftypheic" + bytes(64),
    ),
    ImageCase(
        "a camera's raw file (NEF): a thumbnail, and the sensor's values below it",
        Reported("the file is a camera's raw file (Nikon NEF); export it as JPEG or TIFF"),
        lambda: raw.with_preview("NIKON CORPORATION"),
    ),
    ImageCase(
        "a telephone's raw file (DNG)",
        Reported("the file is a camera's raw file (DNG); export it as JPEG or TIFF"),
        raw.dng,
    ),
    ImageCase(
        "a camera's raw file (CR3)",
        Reported("the file is a camera's raw file (Canon CR3); export it as JPEG or TIFF"),
        raw.cr3,
    ),
    ImageCase(
        "a TIFF of a reduced copy alone",
        Reported("the TIFF's page is a reduced copy of its image; export the full-size image as JPEG or TIFF"),
        reduced_copy,
    ),
    ImageCase(
        "a JPEG of 12 bits",
        Reported("the JPEG has 12 bits a sample; export it with 8 bits"),
        lambda: of_bits(encoded(sample_image(), "JPEG"), 12),
    ),
    ImageCase("a DICOM file", Reported("the file is a DICOM file"), lambda: bytes(128) + b"DICM" + bytes(64)),
    ImageCase(
        "a JPEG 2000",
        Reported("the file is no JPEG, PNG, WebP, TIFF, BMP or GIF image"),
        lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
    ),
    ImageCase(
        "PostScript",
        Reported("the file is no JPEG, PNG, WebP, TIFF, BMP or GIF image"),
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 32\n",
    ),
    ImageCase(
        "an animated GIF",
        Reported("the file holds 2 frames, where one still image is expected"),
        lambda: several("GIF"),
    ),
    ImageCase(
        "an animated PNG",
        Reported("the file holds 2 frames, where one still image is expected"),
        lambda: several("PNG"),
    ),
    ImageCase(
        "an animated WebP",
        Reported("the file holds 2 frames, where one still image is expected"),
        lambda: several("WEBP"),
    ),
    ImageCase(
        "a TIFF of two pages",
        Reported("the file holds 2 frames, where one still image is expected"),
        lambda: several("TIFF"),
    ),
    ImageCase(
        "a PNG that promises 30,000 × 30,000 pixels",
        Reported("the image has more than 80 million pixels"),
        lambda: bomb(30_000),
    ),
    ImageCase(
        "a PNG that promises 9,000 × 9,000 pixels",
        Reported("the image has 9000 × 9000 pixels, more than 80 million"),
        lambda: bomb(9_000),
    ),
    ImageCase(
        "a PNG whose comment unpacks to 64 MB",
        Reported(_TEXT_BOMB),
        lambda: text_bomb(b"zTXt"),
    ),
    ImageCase(
        "a PNG whose profile unpacks to 64 MB",
        Reported(_TEXT_BOMB),
        lambda: text_bomb(b"iCCP"),
    ),
    ImageCase(
        "an image of 12 × 8 pixels",
        Reported("the image has 12 × 8 pixels, less than 16 a side"),
        lambda: encoded(sample_image((12, 8)), "JPEG"),
    ),
    ImageCase(
        "a TIFF of floating-point numbers",
        Reported("its colour mode 'F' is not one with a known black and white"),
        lambda: encoded(sample_image().convert("F"), "TIFF"),
    ),
    ImageCase(
        "a PNG called .jpg", Used("as PNG, under its right ending", stored_as="png"), lambda: encoded(sample_image())
    ),
    ImageCase(
        "a TIFF called .jpg",
        Used("as TIFF, under its right ending", stored_as="tif"),
        lambda: encoded(sample_image(), "TIFF"),
    ),
    ImageCase(
        "a WebP called .jpg",
        Used("as WebP, under its right ending", stored_as="webp"),
        lambda: encoded(sample_image(), "WEBP", lossless=True),
    ),
    ImageCase("a JPEG in CMYK", Used("converted to RGB"), lambda: encoded(sample_image().convert("CMYK"), "JPEG")),
    ImageCase("a greyscale JPEG", Used("as grey RGB", **_GREY), lambda: encoded(sample_image().convert("L"), "JPEG")),
    ImageCase(
        "a 16-bit greyscale PNG",
        Used("scaled over its full range, not clipped", stored_as="png", **_GREY),
        sixteen_bit_grey,
    ),
    ImageCase(
        "a 16-bit greyscale TIFF whose white is zero",
        Used("turned over", stored_as="tif", **_GREY),
        lambda: sixteen_bit_tiff(white_is_zero=True),
    ),
    ImageCase(
        "a TIFF whose first page is a reduced copy of the second",
        Used("the full-size page", stored_as="tif"),
        pyramid,
    ),
    ImageCase(
        "a PNG in linear light that says so (gAMA)",
        Used("converted to sRGB", stored_as="png"),
        with_gamma,
    ),
    ImageCase(
        "a one-bit PNG",
        Used("as black and white", stored_as="png", corner=BLACK, centre=BLACK, below=WHITE),
        lambda: encoded(sample_image().convert("1", dither=0)),
    ),
    ImageCase(
        "a palette PNG with transparency",
        Used("laid on white", stored_as="png", below=WHITE),
        lambda: see_through("P"),
    ),
    ImageCase(
        "a PNG with an alpha channel",
        Used("laid on white", stored_as="png", below=WHITE),
        lambda: see_through("RGBA"),
    ),
    ImageCase("a JPEG on its side, with EXIF orientation", Used("turned upright"), turned),
    ImageCase("a JPEG with broken EXIF", Used("as it lies"), with_broken_exif),
    ImageCase(
        "a PNG with an ICC profile of linear light",
        Used("converted to sRGB", stored_as="png"),
        in_linear_light,
    ),
    ImageCase(
        "a PNG with an unreadable ICC profile",
        Used("without the profile", stored_as="png"),
        lambda: encoded(sample_image(), icc_profile=b"no profile at all"),
    ),
    ImageCase("a camera's JPEG with a preview inside (MPO)", Used("its first image"), with_preview),
    ImageCase(
        "a progressive JPEG",
        Used("like any other"),
        lambda: encoded(sample_image(), "JPEG", progressive=True),
    ),
    ImageCase(
        "a JPEG with bytes after its end",
        Used("up to its end"),
        lambda: encoded(sample_image(), "JPEG") + b"\0" * 512 + b"trailer",
    ),
)
