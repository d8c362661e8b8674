"""Images that say who and where in every place that a file has for it, each with a word of its own."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image, ImageCms, PngImagePlugin

from tests.faults.images import encoded, sample_image

# Words that occur nowhere by chance, the same length each, so that one fits where another word was.
PLACES = (
    "ImageDescription",
    "Artist",
    "Copyright",
    "UserComment",
    "GPSAreaInformation",
    "BodySerialNumber",
    "XPAuthor",
    "Xmp",
    "Comment",
    "Iptc",
    "IccDescription",
    "PngText",
    "PngPackedText",
    "PngInternationalText",
    "Trailer",
    "FileName",
)
MARKERS = {place: f"Qu0kka{number:02d}Zanzi" for number, place in enumerate(PLACES)}
LATITUDE = (47, 11, 5_839_271)  # degrees, minutes, ten-thousandths of seconds
_SRGB_NAME = "sRGB built-in"
_GPS_IFD, _EXIF_IFD = 0x8825, 0x8769


def exif() -> Image.Exif:
    """EXIF with a person, a camera and a place."""
    tags = Image.Exif()
    tags[0x010E] = MARKERS["ImageDescription"]
    tags[0x013B] = MARKERS["Artist"]
    tags[0x8298] = MARKERS["Copyright"]
    tags[0x9C9D] = MARKERS["XPAuthor"].encode("utf-16-le")
    tags.get_ifd(_EXIF_IFD)[0x9286] = b"ASCII\0\0\0" + MARKERS["UserComment"].encode()
    tags.get_ifd(_EXIF_IFD)[0xA431] = MARKERS["BodySerialNumber"]
    gps = tags.get_ifd(_GPS_IFD)
    gps[1], gps[28] = "N", b"ASCII\0\0\0" + MARKERS["GPSAreaInformation"].encode()
    gps[2] = (float(LATITUDE[0]), float(LATITUDE[1]), LATITUDE[2] / 10_000)
    return tags


def xmp() -> bytes:
    """XMP with a creator."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="{MARKERS["Xmp"]}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def iptc_segment() -> bytes:
    """The JPEG segment in which Photoshop and the ISIC archive keep IPTC, with a credit."""
    credit = MARKERS["Iptc"].encode()
    record = b"\x1c\x02\x6e" + struct.pack(">H", len(credit)) + credit
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + b"\0" * (len(record) % 2)
    body = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def icc_profile() -> bytes:
    """The sRGB profile under another name."""
    body = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    name = MARKERS["IccDescription"][: len(_SRGB_NAME)].ljust(len(_SRGB_NAME))
    assert _SRGB_NAME.encode("utf-16-be") in body
    return body.replace(_SRGB_NAME.encode("utf-16-be"), name.encode("utf-16-be"))


def marked_files() -> dict[str, bytes]:
    """Return an image with its marks in each format, and damaged ones, by what they are."""
    jpeg = encoded(
        sample_image(),
        "JPEG",
        exif=exif(),
        xmp=xmp(),
        comment=MARKERS["Comment"].encode(),
        icc_profile=icc_profile(),
        extra=iptc_segment(),
    )
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", MARKERS["PngText"])
    texts.add_text("Description", MARKERS["PngPackedText"] * 9, zip=True)
    texts.add_itxt("Title", MARKERS["PngInternationalText"])
    texts.add_itxt("XML:com.adobe.xmp", xmp().decode())
    png = encoded(sample_image(), "PNG", exif=exif(), pnginfo=texts, icc_profile=icc_profile())
    described = {0x010E: MARKERS["ImageDescription"], 0x013B: MARKERS["Artist"], 700: xmp()}
    tiff = encoded(sample_image(), "TIFF", icc_profile=icc_profile(), tiffinfo=described)
    webp = encoded(sample_image(), "WEBP", lossless=True, exif=exif(), xmp=xmp(), icc_profile=icc_profile())
    return {
        "a JPEG": jpeg + MARKERS["Trailer"].encode(),
        "a PNG": png,
        "a TIFF": tiff,
        "a WebP": webp,
        "a JPEG cut short": jpeg[: len(jpeg) - 200],
        "a PNG cut short": png[: len(png) - 60],
        "a TIFF cut short": tiff[:-700],
        "a JPEG whose EXIF is cut": jpeg.replace(b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0II*\0\xff\0\0\0"),
        "a text that is no image": MARKERS["Comment"].encode() * 20,
    }


def found_in(blob: bytes) -> set[str]:
    """Return the places whose word is in some bytes, as UTF-8 or UTF-16, and whether the position is."""
    spellings = ("utf-8", "utf-16-le", "utf-16-be")
    found = {place for place, word in MARKERS.items() if any(word.encode(kind) in blob for kind in spellings)}
    seconds = (struct.pack(">II", LATITUDE[2], 10_000), struct.pack("<II", LATITUDE[2], 10_000), b"583.9271")
    return found | ({"position"} if any(item in blob for item in seconds) else set())


def unpacked(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, and in plain what Parquet and PNG keep compressed."""
    body = path.read_bytes()
    yield body
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield repr((table.to_pydict(), table.schema.metadata, pq.read_metadata(path).metadata)).encode()
    if path.suffix == ".png":
        with Image.open(io.BytesIO(body)) as image:
            image.load()
            yield repr((image.info, dict(image.getexif()))).encode()


def leaks(folder: Path) -> dict[str, set[str]]:
    """Return the files below a folder that hold a mark, or have it in their name, with the places it came from."""
    found_by_kind = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        name = str(path.relative_to(folder))
        if found := set().union(*map(found_in, unpacked(path)), found_in(name.encode())):
            found_by_kind[name] = found
    return found_by_kind
