"""Comma-separated tables as people and programs export them, read strictly: one clear error for each fault."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lesion_core.errors import ManifestError
from lesion_core.isic.statements import unescaped
from lesion_core.types import ISIC_ID

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One line: its number in the file (the header is 1), and its cells by column, empty ones left out."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is in the file; lines without any value are left out."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(
    path: Path,
    *,
    columns: Sequence[str],
    advice: str,
    renamed: Callable[[Sequence[str]], Sequence[str]] = tuple,
) -> Table:
    """Read a table whose header must hold ``columns``; a byte order mark is skipped.

    Args:
        path: Its file.
        columns: What it needs at least, in any order.
        advice: What to do where a column is missing.
        renamed: Gives a header's columns their names of today, one for each.

    Raises:
        FileNotFoundError: There is no such file.
        ManifestError: It is no comma-separated UTF-8, a column is missing or repeated, or a row is too short or long.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"expected {path} as comma-separated UTF-8, got {error}; export it again") from error
    header = tuple(renamed([name.strip() for name in lines[0]])) if lines else ()
    _check_header(path, header, columns, advice)
    rows = (_row(path, number, header, cells) for number, cells in enumerate(lines[1:], start=2) if any(cells))
    return Table(path, header, tuple(rows))


def check_ids(path: Path, ids: Sequence[str]) -> None:
    """Check that every row names an archive id, and each only once.

    Raises:
        ManifestError: It does not.
    """
    unfit = [isic_id or "an empty cell" for isic_id in ids if not ISIC_ID.fullmatch(isic_id)]
    if unfit:
        raise ManifestError(
            f"expected ids such as ISIC_0024306 in {path}, got {some(unfit)}; images of your own need such ids, "
            "too, in table and file name"
        )
    repeated = [isic_id for isic_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ManifestError(f"expected each image once in {path}, got {some(repeated)} again; remove the repetitions")


def some(values: Sequence[str]) -> str:
    """Return the first few values, and how many more there are."""
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str], advice: str) -> None:
    missing = [name for name in columns if name not in header]
    other = next((words for sign, words in _OTHER_DELIMITERS.items() if len(header) == 1 and sign in header[0]), "")
    if missing and other:
        raise ManifestError(f"expected {path} with commas between the cells, got {other}; export it with commas")
    if missing:
        raise ManifestError(
            f"expected {'a column' if len(missing) == 1 else 'the columns'} {', '.join(missing)} in {path}, got "
            f"{', '.join(header[:8]) or 'an empty file'}; {advice}"
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise ManifestError(f"expected each column once in {path}, got {', '.join(repeated)} again; remove one")


def _row(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(header):
        raise ManifestError(
            f"expected {len(header)} cells in row {number} of {path}, got {len(cells)}; put values that contain "
            "commas in double quotes"
        )
    texts = {name: unescaped(cell) for name, cell in zip(header, cells, strict=True)}
    return Row(number, {name: text for name, text in texts.items() if text})
