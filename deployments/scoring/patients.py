"""What a table says of each image: the metadata fields in the model's vocabulary, or why not.

The archive's own rules decide (``lesion_core.isic.taxonomy``). An invalid value (age 'abc', sex 'x') is a
``problem``: the image is not scored, since its answer would leave out what somebody meant to say. A place of a known
vocabulary that has no counterpart among the eight sites ('Trunk' without its side, 'torso') is unknown to the model;
the image is scored and the ``note`` says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.scoring.columns import IMAGE, Columns, choose_columns, known_name
from deployments.scoring.files import IMAGE_ENDINGS, normal
from deployments.scoring.table import read_text_table
from lesion_core import archive_fields
from lesion_core.errors import ManifestError
from lesion_core.fields.kinds import AnyField, CategoryField
from lesion_core.fields.table import FIELDS, SITE
from lesion_core.isic.mirror.tables import Row, Table
from lesion_core.isic.taxonomy import Unmapped, read_field, site_of
from lesion_core.labels import Site
from lesion_core.types import PatientMetadata

UNKNOWN = frozenset({"", "unknown", "na", "n/a", "nan", "none", "null"})
_TOO_WIDE = frozenset({"torso", "trunk"})  # of the challenge of 2020 and of HAM10000: front, side or back?
# HAM10000's own words (Tschandl et al. 2018, doi:10.1038/sdata.2018.161), as the table of ISIC 2019 has the same
# images; that table leaves 'genital' and 'trunk' empty, and the eight sites have a place for the former.
_HAM_SITES: Mapping[str, Site] = {
    "abdomen": Site.ANTERIOR_TORSO,
    "acral": Site.PALMS_SOLES,
    "back": Site.POSTERIOR_TORSO,
    "chest": Site.ANTERIOR_TORSO,
    "ear": Site.HEAD_NECK,
    "face": Site.HEAD_NECK,
    "foot": Site.LOWER_EXTREMITY,
    "genital": Site.ORAL_GENITAL,
    "hand": Site.UPPER_EXTREMITY,
    "neck": Site.HEAD_NECK,
    "scalp": Site.HEAD_NECK,
}
_SITE_PATH = tuple(name for name in SITE.archive_columns if name != archive_fields.FORMER_SITE)
_Value = float | str


@dataclass(frozen=True, slots=True)
class _Read:
    """A field of one row: its value, why the row cannot be used, and what of it the model has no word for."""

    value: _Value | None
    problem: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """One row: which image it is about, what it says, and what cannot be used of it.

    Attributes:
        row: Its number in the table; the header is 1.
        image: The image as the table names it.
        problem: Why the image must not be scored with this row; empty: it may.
        note: What the row says and the model has no word for; empty: nothing.
    """

    row: int
    image: str
    metadata: PatientMetadata
    problem: str = ""
    note: str = ""

    def says_the_same_as(self, other: "Patient") -> bool:
        """Whether two rows agree in all that a prediction uses."""
        return (self.metadata, self.problem, self.note) == (other.metadata, other.problem, other.note)


@dataclass(frozen=True, slots=True)
class PatientTable:
    """A table's rows and what its columns are read as."""

    path: Path
    columns: Columns
    patients: tuple[Patient, ...]


def read_patients(path: Path, *, ignored: Sequence[str] = ()) -> PatientTable:
    """Read a table of metadata; ids and names are text, whatever they look like.

    Args:
        path: Its file, in any form that ``read_text_table`` reads.
        ignored: Columns that are passed over.

    Raises:
        ManifestError: It cannot be read, its columns are not known, a row names no image, or two columns with one
            meaning disagree.
    """
    table = read_text_table(path, lambda name: known_name(name) is not None)
    columns = choose_columns(path, table.header, ignored)
    return PatientTable(path, columns, tuple(_patient(table, row, columns) for row in table.rows))


def _patient(table: Table, row: Row, columns: Columns) -> Patient:
    image = _image(table.path, row, columns)
    where = f"row {row.number} of {table.path} ({image})"
    cells = {known: _stated(row.cells.get(header, "")) for known, header in columns.known.items()}
    known = {field: _READERS.get(field.name, _plain)(field, where, cells, columns) for field in FIELDS}
    return Patient(
        row.number,
        image,
        PatientMetadata(**{field.name: read.value for field, read in known.items()}),
        problem="; ".join(read.problem for read in known.values() if read.problem),
        note="; ".join(read.note for read in known.values() if read.note),
    )


def _image(path: Path, row: Row, columns: Columns) -> str:
    named = [row.cells[header] for header in columns.of(IMAGE).values() if header in row.cells]
    if not named:
        raise ManifestError(
            f"expected an image's name in row {row.number} of {path}, got none; name it, or remove the row"
        )
    if len({_bare(name) for name in named}) > 1:
        raise ManifestError(
            f"expected one image in row {row.number} of {path}, got {' and '.join(named)}; keep one of the columns "
            f"{', '.join(columns.of(IMAGE).values())}"
        )
    return max(named, key=len)  # with its ending, where one of them has it


def _bare(name: str) -> str:
    stem, dot, ending = normal(name).rpartition(".")
    return stem if dot and f".{ending.lower()}" in IMAGE_ENDINGS else normal(name)


def _stated(cell: str) -> str:
    return "" if cell.casefold() in UNKNOWN else cell


def _plain(field: AnyField, where: str, cells: Mapping[str, str], columns: Columns) -> _Read:
    """Return what the columns of a field without a vocabulary of its own say."""
    readings = [(columns.known[name], _value(field, cells[name])) for name in columns.of(field.columns)]
    return _Read(*_agreed(where, readings))


def _value(field: AnyField, text: str) -> _Value | Unmapped | None:
    """Return a cell's value: words whatever their case, numbers also with a decimal comma."""
    if isinstance(field, CategoryField):
        text = next((word for word in field.words if word.casefold() == text.casefold()), text.lower())
    else:
        text = text.replace(",", ".", 1)
    return read_field(field, {field.archive_columns[0]: text})


def _general_site(text: str) -> Site | Unmapped | None:
    return site_of({archive_fields.FORMER_SITE: text.lower()})


def _ham_site(text: str) -> Site | Unmapped | None:
    return _HAM_SITES.get(text.lower()) or _general_site(text)


def _site(field: AnyField, where: str, cells: Mapping[str, str], columns: Columns) -> _Read:
    """Return the site, why the row cannot be used, and what of it the model has no word for."""
    readings = _site_readings(cells, columns)
    site, _ = _agreed(where, readings)
    unusable = [(column, value) for column, value in readings if isinstance(value, Unmapped)]
    problem = "; ".join(_words(column, value) for column, value in unusable if not _has_no_counterpart(value))
    wide = [f"{column} {value.value!r}" for column, value in unusable if _has_no_counterpart(value)]
    note = "; ".join(f"{what} has no counterpart among the eight sites" for what in wide)
    return _Read(site, problem, note if site is None else "")


_READERS = {SITE.name: _site}


def _site_readings(cells: Mapping[str, str], columns: Columns) -> list[tuple[str, _Value | Unmapped | None]]:
    named = columns.of(set(SITE.columns) - set(_SITE_PATH))
    readings = {name: (_ham_site if name == "localization" else _general_site)(cells[name]) for name in named}
    if isinstance(site_of({archive_fields.SITE_SPECIAL: cells.get(archive_fields.SITE_SPECIAL, "")}), Site):
        readings.pop(
            archive_fields.FORMER_SITE, None
        )  # of the archive's two, the special one tells the site more closely
    by_path = site_of({name: cells[name] for name in columns.of(_SITE_PATH)})
    path_name = by_path.field if isinstance(by_path, Unmapped) else _SITE_PATH[0]
    return [*((columns.known[name], value) for name, value in readings.items()), (path_name, by_path)]


def _has_no_counterpart(value: Unmapped) -> bool:
    return value.field in _SITE_PATH or value.value in _TOO_WIDE


def _words(column: str, value: Unmapped) -> str:
    return f"{column} {value.value!r} {value.reason}"


def _agreed(where: str, readings: Sequence[tuple[str, _Value | Unmapped | None]]) -> tuple[_Value | None, str]:
    """Return the one value that columns with the same meaning give, and why any of them cannot be used.

    Raises:
        ManifestError: They give different values.
    """
    values = {column: value for column, value in readings if value is not None and not isinstance(value, Unmapped)}
    if len(set(values.values())) > 1:
        given = " and ".join(f"{value:g}" if isinstance(value, float) else value for value in values.values())
        raise ManifestError(
            f"expected columns with the same meaning to agree, but in {where} {' and '.join(values)} say {given}; "
            "correct the row, or keep one of the columns"
        )
    problem = "; ".join(_words(column, value) for column, value in readings if isinstance(value, Unmapped))
    return next(iter(values.values()), None), problem
