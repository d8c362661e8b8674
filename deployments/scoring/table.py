"""A table of text as spreadsheets and programs leave it; every cell stays as it is written.

Read are UTF-8 and UTF-16 (with its byte order mark), cells between commas, semicolons, tabs or bars, and any kind of
line end. What else a file may be is refused by name.
"""

import codecs
import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from lesion_core.errors import ManifestError
from lesion_core.isic.mirror.tables import Row, Table
from lesion_core.isic.statements import unescaped

_DELIMITERS = (",", ";", "\t", "|")
_EXPORT = "export it as “CSV UTF-8”"
_NO_TABLES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "an Excel workbook, or another ZIP file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"%PDF", "a PDF document"),
    (b"{", "a JSON document"),
    (b"[", "a JSON document"),
    (b"<", "an HTML or XML document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
)


def read_text_table(path: Path, is_known: Callable[[str], bool]) -> Table:
    """Read a table with a header.

    Args:
        path: Its file.
        is_known: Whether a column's name means something; the separator that gives most such names is taken.

    Raises:
        ManifestError: There is no such file, it is no table, it has no rows, a column is repeated or has no name, or
            a row is too short or too long.
    """
    lines = _cells(path, _text(path, _bytes(path)), is_known)
    header, rows = lines[0], lines[1:]
    header = header[: max((number for number, name in enumerate(header, 1) if name), default=0)]
    found = tuple(_row(path, number, header, cells) for number, cells in enumerate(rows, 2) if any(cells))
    _check_header(path, header)
    if not found:
        raise ManifestError(f"expected rows below the header of {path}, got none; {_EXPORT} with its rows")
    return Table(path, tuple(header), found)


def _bytes(path: Path) -> bytes:
    if os.path.isdir(path):
        raise ManifestError(f"expected a table of metadata at {path}, got a folder; name the file in it")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ManifestError(f"expected a table of metadata at {path}, got no regular file; save it as a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"expected a table of metadata at {path}, got: {error.strerror or error}; check the path"
        ) from error


def _text(path: Path, body: bytes) -> str:
    for signature, what in _NO_TABLES:
        if body.startswith(signature):
            raise ManifestError(f"expected a table of text at {path}, got {what}; {_EXPORT}")
    is_utf16 = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = body.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"expected {path} in UTF-8 or UTF-16, got {error.reason} at byte {error.start}; {_EXPORT}"
        ) from error
    if "\0" in text:
        raise ManifestError(
            f"expected a table of text at {path}, got NUL characters, as binary files have; {_EXPORT}"
        )
    if not text.strip():
        raise ManifestError(f"expected a table of metadata at {path}, got an empty file; {_EXPORT} again")
    return text


def _cells(path: Path, text: str, is_known: Callable[[str], bool]) -> list[list[str]]:
    """Return the cells of all lines, without the line ``sep=`` that Excel writes above some headers."""
    if text[:4].lower() == "sep=" and text[4:5] in _DELIMITERS:
        text = text[5:].lstrip("\r\n")
    try:
        readings = {sign: _parsed(text, sign, only_header=True) for sign in _DELIMITERS}
        header = {sign: lines[0] for sign, lines in readings.items() if lines}
        if not header:
            raise ManifestError(f"expected a header in {path}, got none; {_EXPORT} again")
        sign = max(header, key=lambda sign: (sum(map(is_known, header[sign])), len(header[sign])))
        return _parsed(text, sign)
    except csv.Error as error:
        raise ManifestError(f"expected {path} as a table of text, got {error}; {_EXPORT} again") from error


def _parsed(text: str, delimiter: str, *, only_header: bool = False) -> list[list[str]]:
    """Return stripped cells from the first line with any value on; for the header alone, quotes need not fit."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=not only_header)
    cells = ([unescaped(cell) for cell in line] for line in lines)
    found: list[list[str]] = []
    for line in cells:
        if found or any(line):
            found.append(line)
        if found and only_header:
            break
    return found


def _check_header(path: Path, header: Sequence[str]) -> None:
    if (place := next((number for number, name in enumerate(header, 1) if not name), None)) is not None:
        raise ManifestError(
            f"expected a name for each column of {path}, got none for column {place}; name or remove it"
        )
    repeated = [name for name, count in Counter(name.casefold() for name in header).items() if count > 1]
    if repeated:
        raise ManifestError(f"expected each column once in {path}, got {', '.join(repeated)} again; remove one")


def _row(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) < len(header) or any(cells[len(header) :]):
        raise ManifestError(
            f"expected {len(header)} cells in row {number} of {path}, got {len(cells)}; put values that contain the "
            f"separator in double quotes, or {_EXPORT} again"
        )
    return Row(number, {name: cell for name, cell in zip(header, cells, strict=False) if cell})
