"""A folder as the archive's official downloader leaves it: ``ISIC_*.jpg`` flat, and ``metadata.csv``.

Tables of older downloaders are read by the names that their columns have today (``columns``). A challenge's set
(images and two tables, ``challenge``) is read in the same form.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lesion_core.archive_fields import ACQUISITION, HEIGHT, IMAGE_ID, OWN, PUBLIC, WIDTH
from lesion_core.errors import ImageRejected, ManifestError
from lesion_core.images import header_size
from lesion_core.isic.mirror.challenge import (
    METADATA_ENDING,
    TRUTH_ENDING,
    find_challenge,
    images_folder,
    isic_id_of,
    read_challenge,
)
from lesion_core.isic.mirror.columns import names_of_today
from lesion_core.isic.mirror.tables import check_ids, read_table
from lesion_core.isic.statements import typed
from lesion_core.types import IsicId, JsonDict, Value

METADATA_NAME = "metadata.csv"
COLLECTIONS_NAME = "collections.json"
WHOLE_FOLDER = 1
EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
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
        return self.row[IMAGE_ID]

    def metadata(self, folder: Path) -> JsonDict:
        """Return ``{"acquisition": …, "clinical": …}`` in the archive's types; absent values have no key."""
        groups: dict[str, JsonDict] = {"acquisition": self._measured(folder), "clinical": {}}
        for name, text in self.row.items():
            if name not in (*OWN, PUBLIC):
                groups["acquisition" if name in ACQUISITION else "clinical"][name] = typed(name, text)
        return dict(groups)

    def _measured(self, folder: Path) -> JsonDict:
        """Return width and height from the file's header, read on first use; nothing where it has none."""
        if not self._is_measured and self.file_name is not None and WIDTH not in self.row:
            self._pixels = _header_size(folder / self.file_name)
        self._is_measured = True
        return {} if self._pixels is None else {WIDTH: self._pixels[0], HEIGHT: self._pixels[1]}


@dataclass(frozen=True, slots=True)
class ArchiveFolder:
    """The folder's images in the order of their ids, and its collections, newest (highest number) first.

    ``path`` is where the image files lie.
    """

    path: Path
    entries: tuple[Entry, ...]
    collections: tuple[FolderCollection, ...]

    def by_id(self) -> dict[str, Entry]:
        """Return the entries by isic_id."""
        return {entry.isic_id: entry for entry in self.entries}


def read_folder(path: Path) -> ArchiveFolder:
    """Read the table of a folder (and ``collections.json``, if any) and look which files are there.

    Without ``metadata.csv``, a challenge's two tables are read (``challenge``). A row whose file is missing stays; a
    file without a row is left out. No image is opened.

    Raises:
        ManifestError: There is no table, or it is no table of images with unique archive ids.
    """
    if (path / METADATA_NAME).is_file() or (tables := find_challenge(path)) is None:
        rows, place, files = _read_rows(path / METADATA_NAME), path, _files_by_id(path)
    else:
        place = images_folder(path, tables)
        rows, files = read_challenge(tables), _files_by_id(place, isic_id_of)
    entries = [Entry({PUBLIC: "true", **row}, *files.get(row[IMAGE_ID], (None, 0))) for row in rows]
    entries.sort(key=lambda entry: entry.isic_id)
    return ArchiveFolder(place, tuple(entries), _read_collections(path))


def is_archive_folder(path: Path) -> bool:
    """Say whether a folder has a table that ``read_folder`` reads; what the table holds is not looked at."""
    return (path / METADATA_NAME).is_file() or any(path.glob(f"*{TRUTH_ENDING}"))


def _read_rows(path: Path) -> list[Mapping[str, str]]:
    advice = "export the table from the archive again, or rename the column"
    try:
        table = read_table(path, columns=(IMAGE_ID,), advice=advice, renamed=names_of_today)
    except FileNotFoundError as error:
        raise ManifestError(
            f"expected {path}, the table that the archive's downloader writes beside the images, or a challenge's "
            f"NAME{TRUTH_ENDING} and NAME{METADATA_ENDING}, found none; name the folder that holds them"
        ) from error
    check_ids(path, [row.cells.get(IMAGE_ID, "") for row in table.rows])
    return [row.cells for row in table.rows]


def _files_by_id(path: Path, id_of: Callable[[str], str] = str) -> dict[str, tuple[str, int]]:
    """Return name and size of each image file, by the id that its name stands for; the shortest name first."""
    found: dict[str, tuple[str, int]] = {}
    with os.scandir(path) as listing:
        for item in sorted(listing, key=lambda item: item.name):
            stem, extension = os.path.splitext(item.name)
            if extension.lower() in EXTENSIONS and id_of(stem) not in found and item.is_file():
                found[id_of(stem)] = (item.name, item.stat().st_size)
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
        return header_size(path)
    except ImageRejected:
        return None
