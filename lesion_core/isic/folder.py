"""A folder as the archive's official downloader leaves it: ``ISIC_*.jpg`` flat, and ``metadata.csv``."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from lesion_core.errors import ManifestError
from lesion_core.isic.statements import typed, unescaped
from lesion_core.types import IsicId, JsonDict, Value

METADATA_NAME = "metadata.csv"
COLLECTIONS_NAME = "collections.json"
WHOLE_FOLDER = 1
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_ISIC_ID = re.compile(r"ISIC_[0-9]{7}")
_OWN_COLUMNS = ("isic_id", "attribution", "copyright_license")
_ACQUISITION = ("pixels_x", "pixels_y", "image_type", "dermoscopic_type", "image_manipulation")
_SHOWN = 5


class FolderCollection(Value):
    """One entry of ``collections.json``; without ``images`` it is the whole folder."""

    id: int
    name: str
    description: str = ""
    images: tuple[IsicId, ...] | None = None


@dataclass(slots=True)
class Entry:
    """One image of the folder: its row as text (absent cells left out), and its file, if it is there."""

    row: Mapping[str, str]
    file_name: str | None
    n_bytes: int
    _pixels: tuple[int, int] | None = field(default=None)
    _is_measured: bool = False

    @property
    def isic_id(self) -> str:
        """The archive's id."""
        return self.row["isic_id"]

    def metadata(self, folder: Path) -> JsonDict:
        """Return ``{"acquisition": …, "clinical": …}`` in the archive's types; absent values have no key."""
        groups: dict[str, JsonDict] = {"acquisition": self._measured(folder), "clinical": {}}
        for name, text in self.row.items():
            if name not in _OWN_COLUMNS and name != "public":
                groups["acquisition" if name in _ACQUISITION else "clinical"][name] = typed(name, text)
        return dict(groups)

    def _measured(self, folder: Path) -> JsonDict:
        """Return width and height from the file's header, read on first use; nothing where it has none."""
        if not self._is_measured and self.file_name is not None and "pixels_x" not in self.row:
            self._pixels = _header_size(folder / self.file_name)
        self._is_measured = True
        return {} if self._pixels is None else {"pixels_x": self._pixels[0], "pixels_y": self._pixels[1]}


@dataclass(frozen=True, slots=True)
class ArchiveFolder:
    """The folder's images in the order of their ids, and its collections, newest (highest number) first."""

    path: Path
    entries: tuple[Entry, ...]
    collections: tuple[FolderCollection, ...]

    def by_id(self) -> dict[str, Entry]:
        """Return the entries by isic_id."""
        return {entry.isic_id: entry for entry in self.entries}


def read_folder(path: Path) -> ArchiveFolder:
    """Read ``metadata.csv`` (and ``collections.json``, if any) and look which files are there.

    A row whose file is missing stays; a file without a row is left out. No image is opened.

    Raises:
        ManifestError: There is no table, or it is no table of images with unique archive ids.
    """
    rows = _read_rows(path / METADATA_NAME)
    files = _files_by_id(path)
    entries = [Entry(row, *files.get(row["isic_id"], (None, 0))) for row in rows]
    entries.sort(key=lambda entry: entry.isic_id)
    return ArchiveFolder(path, tuple(entries), _read_collections(path))


def _read_rows(path: Path) -> list[Mapping[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = list(csv.reader(file, strict=True))
    except FileNotFoundError as error:
        raise ManifestError(
            f"expected {path}, the table that the archive's downloader writes beside the images, found none; name "
            "the folder that holds it"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"expected {path} as comma-separated UTF-8, got {error}; export it again") from error
    header = [name.strip() for name in table[0]] if table else []
    _check_header(path, header)
    rows = [_row(path, number, header, cells) for number, cells in enumerate(table[1:], start=2) if any(cells)]
    _check_ids(path, rows)
    return rows


def _check_header(path: Path, header: Sequence[str]) -> None:
    if "isic_id" not in header:
        raise ManifestError(
            f"expected a column isic_id in {path}, got {', '.join(header[:8]) or 'an empty file'}; export the table "
            "from the archive again, or rename the column"
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise ManifestError(f"expected each column once in {path}, got {', '.join(repeated)} again; remove one")


def _row(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> Mapping[str, str]:
    if len(cells) != len(header):
        raise ManifestError(
            f"expected {len(header)} cells in row {number} of {path}, got {len(cells)}; put values that contain "
            "commas in double quotes"
        )
    texts = {name: unescaped(cell) for name, cell in zip(header, cells, strict=True)}
    return {"public": "true", **{name: text for name, text in texts.items() if text}}


def _check_ids(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    ids = [row.get("isic_id", "") for row in rows]
    unfit = [isic_id or "an empty cell" for isic_id in ids if not _ISIC_ID.fullmatch(isic_id)]
    if unfit:
        raise ManifestError(
            f"expected ids such as ISIC_0024306 in {path}, got {_some(unfit)}; images of your own need such ids, "
            "too, in table and file name"
        )
    repeated = [isic_id for isic_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ManifestError(
            f"expected each image once in {path}, got {_some(repeated)} again; remove the repetitions"
        )


def _some(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more


def _files_by_id(path: Path) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    with os.scandir(path) as listing:
        for item in sorted(listing, key=lambda item: item.name):
            stem, extension = os.path.splitext(item.name)
            if extension.lower() in _EXTENSIONS and stem not in found and item.is_file():
                found[stem] = (item.name, item.stat().st_size)
    return found


def _read_collections(path: Path) -> tuple[FolderCollection, ...]:
    file = path / COLLECTIONS_NAME
    if not file.is_file():
        return (FolderCollection(id=WHOLE_FOLDER, name=path.resolve().name or "images"),)
    try:
        stated = TypeAdapter(list[FolderCollection]).validate_json(file.read_bytes())
    except ValidationError as error:
        raise ManifestError(
            f'expected {file} as [{{"id": 65, "name": "…", "images": ["ISIC_0024306"]}}], got something else: '
            f"{json.dumps([problem['msg'] for problem in error.errors()][:_SHOWN])}"
        ) from error
    return tuple(sorted(stated, key=lambda collection: -collection.id))


def _header_size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
