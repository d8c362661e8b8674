"""A challenge's training set as it is handed out: images, and two tables beside them.

::

    ISIC_2019_Training_Input/ISIC_0000000.jpg …        or the images beside the tables
    ISIC_2019_Training_GroundTruth.csv                 image, and a 1 under one of MEL … SCC, UNK
    ISIC_2019_Training_Metadata.csv                    image, age_approx, anatom_site_general, lesion_id, sex

https://challenge.isic-archive.com/data/#2019. Some names carry ``_downsampled`` after the id, in the tables and
in the files. A table of ones and zeros tells a class and no path through the archive's taxonomy: the class is
handed on as what it is (``challenge_class``), and no pathology is made of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lesion_core.archive_fields import ATTRIBUTION, CHALLENGE_CLASS, CHALLENGE_COLUMNS, IMAGE_ID, LESION, LICENCE
from lesion_core.errors import ManifestError
from lesion_core.isic.mirror.tables import Row, Table, check_ids, read_table, some
from lesion_core.labels import CHALLENGE_CLASSES

TRUTH_ENDING = "_GroundTruth.csv"
METADATA_ENDING = "_Metadata.csv"
INPUT_ENDING = "_Input"
DOWNSAMPLED = "_downsampled"
NONE_OF_THEM = "UNK"

_ADVICE = "take the table as the set hands it out; a column of which nothing is known stays, with empty cells"
# The set is handed out as a whole, under the licence of its most restricted source.
_LICENCE = "CC-BY-NC"
_HAM = "HAM10000: ViDIR Group, Department of Dermatology, Medical University of Vienna"
_BCN = "BCN_20000: Department of Dermatology, Hospital Clínic de Barcelona"
_MSK = "MSK: Anonymous"
_BY_LESION = {"HAM_": _HAM, "BCN_": _BCN, "MSK": _MSK}
_ISIC_2019 = "ISIC_2019"
_ANY_OF_THREE = f"ISIC 2019, one of its sources: {_HAM}; {_BCN}; {_MSK}"


@dataclass(frozen=True, slots=True)
class ChallengeTables:
    """The two tables of one set, e.g. of ``ISIC_2019_Training``."""

    name: str
    truth: Path
    metadata: Path


def find_challenge(folder: Path) -> ChallengeTables | None:
    """Return a folder's pair of tables, or ``None`` where it has neither of them.

    Raises:
        ManifestError: There is one without the other, or more than one pair.
    """
    truths, metadata = (
        {path.name.removesuffix(end): path for path in sorted(folder.glob(f"*{end}"))}
        for end in (TRUTH_ENDING, METADATA_ENDING)
    )
    if not truths and not metadata:
        return None
    if len(truths) != 1 or set(truths) != set(metadata):
        found = [path.name for path in (*truths.values(), *metadata.values())]
        raise ManifestError(
            f"expected one pair of tables NAME{TRUTH_ENDING} and NAME{METADATA_ENDING} in {folder}, got "
            f"{some(found)}; give each set a folder of its own, with both tables"
        )
    (name,) = truths
    return ChallengeTables(name, truths[name], metadata[name])


def images_folder(folder: Path, tables: ChallengeTables) -> Path:
    """Return where the images lie: in ``NAME_Input``, as the set's archive unpacks, or beside the tables."""
    unpacked = folder / f"{tables.name}{INPUT_ENDING}"
    return unpacked if unpacked.is_dir() else folder


def read_challenge(tables: ChallengeTables) -> list[Mapping[str, str]]:
    """Return one row per image, in the form of the archive's own table: empty cells have no key.

    The class stands under ``challenge_class``, 'UNK' where the image is none of the classes.

    Raises:
        ManifestError: Columns are missing, an image is named twice or in one table only, or its row of ones and
            zeros does not name one class.
    """
    classes = {_isic_id(row): class_of(tables.truth, row) for row in _read(tables.truth, CHALLENGE_CLASSES).rows}
    facts = {_isic_id(row): row.cells for row in _read(tables.metadata, tuple(CHALLENGE_COLUMNS)).rows}
    _check_same(tables, classes, facts)
    return [_statement(tables.name, isic_id, named, facts[isic_id]) for isic_id, named in classes.items()]


def isic_id_of(name: str) -> str:
    """Return the id in an image's name: 'ISIC_0000017' of 'ISIC_0000017_downsampled'."""
    return name.removesuffix(DOWNSAMPLED)


def _read(path: Path, columns: Sequence[str]) -> Table:
    table = read_table(path, columns=("image", *columns), advice=_ADVICE)
    check_ids(path, [_isic_id(row) for row in table.rows])
    return table


def _isic_id(row: Row) -> str:
    return isic_id_of(row.cells.get("image", ""))


def class_of(path: Path, row: Row) -> str:
    """Return the class that a row of a ground truth names, 'UNK' included.

    Raises:
        ManifestError: It has another number of ones than one, or something besides zeros and ones.
    """
    named = [name for name in (*CHALLENGE_CLASSES, NONE_OF_THEM) if _is_one(path, row, name)]
    if len(named) != 1:
        raise ManifestError(
            f"expected a 1 under one class in row {row.number} of {path} ({row.cells['image']}), got "
            f"{' and '.join(named) or 'none'}; correct the row, or remove it from both tables"
        )
    return str(named[0])


def _is_one(path: Path, row: Row, name: str) -> bool:
    text = row.cells.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value not in (0.0, 1.0):
        raise ManifestError(
            f"expected 0 or 1 under {name} in row {row.number} of {path} ({row.cells['image']}), got {text!r}; the "
            "ground truth is one class per image, not probabilities"
        )
    return value == 1.0


def _check_same(tables: ChallengeTables, classes: Mapping[str, str], facts: Mapping[str, object]) -> None:
    for here, there, path in ((classes, facts, tables.metadata), (facts, classes, tables.truth)):
        missing = [isic_id for isic_id in here if isic_id not in there]
        if missing:
            raise ManifestError(
                f"expected the same images in {tables.truth.name} and {tables.metadata.name}, but {path} lacks "
                f"{some(missing)}; take both tables from one set"
            )


def _statement(name: str, isic_id: str, named: str, facts: Mapping[str, str]) -> Mapping[str, str]:
    stated = {today: facts[column] for column, today in CHALLENGE_COLUMNS.items() if column in facts}
    credit = _attribution(name, stated.get(LESION, ""))
    own = {IMAGE_ID: isic_id, LICENCE: _LICENCE, ATTRIBUTION: credit, CHALLENGE_CLASS: named}
    return {**own, **stated}


def _attribution(name: str, lesion_id: str) -> str:
    """Return whom to credit: the source that the lesion's id names, or all that it may be."""
    if not name.startswith(_ISIC_2019):
        return f"{name}, source not stated"
    return next((credit for start, credit in _BY_LESION.items() if lesion_id.startswith(start)), _ANY_OF_THREE)
