"""A file's header, read before anything is decoded: what it is, which image of it is meant, what its colours mean."""

import io
import logging
import warnings
from dataclasses import dataclass

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from lesion_core.images import bmp, directories, foreign, jpeg, png, tiff
from lesion_core.images.failures import Unusable

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")  # Pillow opens MPO through JPEG
_BMP = b"BM"
_OWN_FRAMES = ("MPO", "TIFF")  # later frames are previews of the first one; the layout has chosen

# Pillow logs every tag that it parses at DEBUG, with its value: names and descriptions of whoever is shown would
# be in the logs of anybody who listens to everything. What it warns of in damaged metadata changes no pixel.
logging.getLogger("PIL").setLevel(logging.INFO)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Pillow 12's own reader of uncompressed TIFFs mixes up deep samples in planes of their own; libtiff does not.
TiffImagePlugin.READ_LIBTIFF = True


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose header was read.

    Attributes:
        data: The file.
        image: What Pillow opened; not decoded yet.
        format: 'JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP' or 'GIF'.
        profiles: ICC profiles to try, in this order.
        header: A PNG's own.
        layout: A TIFF's own.
    """

    data: bytes
    image: ImageFile.ImageFile
    format: str
    profiles: tuple[bytes, ...]
    header: png.Header | None
    layout: tiff.Layout | None


def opened(data: bytes) -> Opened:
    """Return a file with its header read.

    Raises:
        Unusable: It is no single still image of a format and layout that is read. Whatever Pillow raises besides.
    """
    if what := foreign.named(data):
        raise Unusable(what)
    if data.startswith(_BMP):
        bmp.check_layout(data)
    layout = tiff.read_layout(data) if directories.is_tiff(data) else None
    header = png.read_header(data) if data.startswith(png.SIGNATURE) else None
    image = _recognised(data, layout)
    n_frames = 1 if image.format in _OWN_FRAMES else getattr(image, "n_frames", 1)
    if n_frames > 1:
        raise Unusable(f"the file holds {n_frames} frames, where one still image is expected")
    format_ = "JPEG" if image.format == "MPO" else str(image.format)
    return Opened(data, image, format_, _profiles(data, image, header), header, layout)


def _recognised(data: bytes, layout: tiff.Layout | None) -> ImageFile.ImageFile:
    try:
        image = Image.open(io.BytesIO(layout.data if layout else data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise Unusable(_why_not(data, layout)) from error
    if layout:
        image.seek(layout.page)
    assert isinstance(image, ImageFile.ImageFile)  # which every file is
    return image


def _why_not(data: bytes, layout: tiff.Layout | None) -> str:
    """Say why Pillow recognises nothing."""
    if layout:
        return tiff.words_of_layout(layout.directory)
    if (bits := jpeg.bits(data)) != jpeg.USUAL_BITS:
        return f"the JPEG has {bits} bits a sample; export it with {jpeg.USUAL_BITS} bits"
    return "the file is no JPEG, PNG, WebP, TIFF, BMP or GIF image"


def _profiles(data: bytes, image: Image.Image, header: png.Header | None) -> tuple[bytes, ...]:
    embedded = bmp.embedded_profile(data) if image.format == "BMP" else image.info.get("icc_profile")
    if not isinstance(embedded, bytes):  # a PNG's text of that name is none
        embedded = None
    if header:
        return png.profiles(header, embedded)
    return (embedded,) if embedded else ()
