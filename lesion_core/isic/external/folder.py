"""The labelled images of a folder, whatever its labels are called.

As the mirror reads folders (``isic.mirror``), with two differences: the columns of a challenge's ground truth may be
other classes than those of ISIC 2019 (AKIEC …), and its metadata may lack columns or be missing, as those of the
test sets do.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lesion_core.archive_fields import (
    ATTRIBUTION,
    CHALLENGE_CLASS,
    CHALLENGE_COLUMNS,
    DIAGNOSIS,
    FORMER_DIAGNOSIS,
    LICENCE,
    OWN,
    PUBLIC,
)
from lesion_core.errors import ManifestError
from lesion_core.isic.mirror.challenge import DOWNSAMPLED, INPUT_ENDING, METADATA_ENDING, TRUTH_ENDING, isic_id_of
from lesion_core.isic.mirror.folder import EXTENSIONS, METADATA_NAME, read_folder
from lesion_core.isic.mirror.tables import Row, Table, check_ids, read_table
from lesion_core.isic.statements import facts_from_cells
from lesion_core.types import JsonDict

# Columns of a challenge's ground truth that are no classes.
_NO_CLASSES = ("image", "score_weight", "validation_weight")
_LABELS = (CHALLENGE_CLASS, FORMER_DIAGNOSIS, *reversed(DIAGNOSIS))  # the most specific first
_ADVICE = "take the table as the set hands it out"


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One row of the table: what it states, and its file, if it is there."""

    isic_id: str
    facts: JsonDict
    licence: str
    attribution: str
    file: Path | None

    def label(self, known: Collection[str]) -> str:
        """Return the most specific label among ``known``, else the most specific; empty where it has none."""
        stated = [str(self.facts[name]) for name in _LABELS if self.facts.get(name)]
        return next((text for text in stated if text in known), stated[0] if stated else "")


def read_labelled(folder: Path) -> list[LabelledImage]:
    """Return the labelled images of a folder, in the order of their ids; no image is opened.

    Raises:
        ManifestError: There is no table, or it is broken; the message says where.
    """
    if (folder / METADATA_NAME).is_file():
        return list(_of_archive(folder))
    return sorted(_of_challenge(folder), key=lambda image: image.isic_id)


def _of_archive(folder: Path) -> Iterator[LabelledImage]:
    found = read_folder(folder)
    for entry in found.entries:
        cells = {name: text for name, text in entry.row.items() if name not in (*OWN, PUBLIC)}
        file = None if entry.file_name is None else found.path / entry.file_name
        stated = (entry.row.get(LICENCE, ""), entry.row.get(ATTRIBUTION, ""))
        yield LabelledImage(entry.isic_id, facts_from_cells(cells), *stated, file)


def _of_challenge(folder: Path) -> Iterator[LabelledImage]:
    truths = sorted(folder.glob(f"*{TRUTH_ENDING}"))
    if len(truths) != 1:
        raise ManifestError(
            f"expected {METADATA_NAME}, or one table NAME{TRUTH_ENDING}, in {folder}, got "
            f"{', '.join(path.name for path in truths) or 'neither'}; name a folder that holds one labelled set"
        )
    name = truths[0].name.removesuffix(TRUTH_ENDING)
    table, facts = _read(truths[0]), _metadata(folder / f"{name}{METADATA_ENDING}")
    files = _files(folder, name)
    for row in table.rows:
        isic_id = isic_id_of(row.cells["image"])
        named = {CHALLENGE_CLASS: _label(table, row), **facts.get(isic_id, {})}
        yield LabelledImage(isic_id, named, "", "", files.get(isic_id))


def _read(path: Path) -> Table:
    table = read_table(path, columns=("image",), advice=_ADVICE)
    check_ids(path, [isic_id_of(row.cells.get("image", "")) for row in table.rows])
    return table


def _metadata(path: Path) -> dict[str, JsonDict]:
    """Return what a challenge's metadata state of each image; nothing where there is no such table."""
    if not path.is_file():
        return {}
    rows = [row.cells for row in _read(path).rows]
    return {isic_id_of(cells["image"]): facts_from_cells(_named_today(cells)) for cells in rows}


def _named_today(cells: Mapping[str, str]) -> dict[str, str]:
    return {today: cells[column] for column, today in CHALLENGE_COLUMNS.items() if column in cells}


def _label(table: Table, row: Row) -> str:
    """Return the one column that has a 1."""
    named = [name for name in table.header if name not in _NO_CLASSES and _is_one(table.path, row, name)]
    if len(named) != 1:
        raise ManifestError(
            f"expected a 1 in one column of row {row.number} of {table.path} ({row.cells['image']}), got "
            f"{' and '.join(named) or 'none'}; correct the row, or remove it"
        )
    return named[0]


def _is_one(path: Path, row: Row, name: str) -> bool:
    text = row.cells.get(name, "0")
    if text not in ("0", "0.0", "1", "1.0"):
        raise ManifestError(
            f"expected 0 or 1 under {name} in row {row.number} of {path} ({row.cells['image']}), got {text!r}; the "
            "ground truth is one label per image, not probabilities"
        )
    return text.startswith("1")


def _files(folder: Path, name: str) -> dict[str, Path]:
    """Return the image files in ``NAME_Input``, as the set unpacks, or beside the table; the shorter name counts."""
    unpacked = folder / f"{name}{INPUT_ENDING}"
    place = unpacked if unpacked.is_dir() else folder
    paths = sorted(path for path in place.iterdir() if path.suffix.lower() in EXTENSIONS)
    return {isic_id_of(path.stem): path for path in sorted(paths, key=lambda path: path.stem.endswith(DOWNSAMPLED))}
