"""Files that are no image of a kind that is read, recognised by their first bytes; never by their names."""

import codecs

# (offset, signature in lower case, what it is)
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"<!doctype html", "an HTML page, probably an error page of a download"),
    (0, b"<html", "an HTML page, probably an error page of a download"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML document"),
    (0, b"{", "a JSON document, probably an error of a download"),
    (0, b"%pdf", "a PDF document"),
    (4, b"ftyphei", "a HEIC photograph"),
    (4, b"ftypmif1", "a HEIC photograph"),
    (128, b"dicm", "a DICOM file"),
)
# Raw files that are no TIFF, or that a TIFF reader would take for a plain one.
_RAW: tuple[tuple[int, bytes, str], ...] = (
    (0, b"fujifilmccd-raw", "Fujifilm RAF"),
    (0, b"iiu\0", "Panasonic RW2"),
    (0, b"iiro", "Olympus ORF"),
    (0, b"iirs", "Olympus ORF"),
    (0, b"mmor", "Olympus ORF"),
    (0, b"fovb", "Sigma X3F"),
    (0, b"\0mrm", "Minolta MRW"),
    (4, b"ftypcrx ", "Canon CR3"),
    (6, b"heapccdr", "Canon CRW"),
    (8, b"cr\x02", "Canon CR2"),
    (8, b"iiiitwar", "Phase One IIQ"),
    (8, b"mmmmrawt", "Phase One IIQ"),
)


def named(data: bytes) -> str | None:
    """Return what a file is in words, if it is known to be none of the formats that are read."""
    if not data:
        return "the file is empty"
    start = data[:256].removeprefix(codecs.BOM_UTF8).lower()
    for offset, signature, what in _OTHERS:
        if (start[offset:] if offset else start.lstrip()).startswith(signature):
            return f"the file is {what}"
    raw = (camera for offset, signature, camera in _RAW if start[offset:].startswith(signature))
    return next((raw_file(camera) for camera in raw), None)


def raw_file(camera: str = "") -> str:
    """Say that a file is a camera's raw file, of a kind if that is known."""
    return f"the file is a camera's raw file{f' ({camera})' if camera else ''}; export it as JPEG or TIFF"
