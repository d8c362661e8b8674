"""What the archive states of one image, in one form whatever route it came by.

The archive's JSON and its CSV say the same in other types: numbers and flags are text in the CSV, keys without
a value are empty cells there and absent in JSON. A ``Statement`` holds the JSON's types, of keys that are known to be
numbers or flags; whatever else may be one is text, because the CSV does not tell. ``pixels_x`` and
``pixels_y``, which the CSV lacks, are left out: width and height are measured in the file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from lesion_core.archive_fields import FLAGS, MEASURED, WHOLE_NUMBERS, of_today
from lesion_core.keys import canonical_json
from lesion_core.types import JsonDict

_FORMULA_STARTS = ("=", "-", "+", "@")  # the archive writes a TAB before them, for spreadsheets


@dataclass(frozen=True, slots=True)
class Statement:
    """One image as the archive describes it.

    Attributes:
        facts: Every metadata key with a value, flat, in the JSON's types; decimals stay text, as in the JSON.
    """

    isic_id: str
    licence: str
    attribution: str = ""
    facts: JsonDict = field(default_factory=dict)

    def facts_json(self) -> str:
        """Return the facts as canonical JSON."""
        return canonical_json(self.facts).decode()


def facts_from_json(acquisition: Mapping[str, object], clinical: Mapping[str, object]) -> JsonDict:
    """Return the facts of an image's two groups of metadata; a null counts as absent."""
    both = of_today({**acquisition, **clinical})
    return {name: _as_text(name, value) for name, value in both.items() if value is not None and name not in MEASURED}


def _as_text(name: str, value: object) -> object:
    """Return a number or flag of a key that is not known to be one as its CSV has it: as text."""
    is_known = name in WHOLE_NUMBERS or name in FLAGS
    return str(value) if isinstance(value, int | float) and not is_known else value


def facts_from_cells(cells: Mapping[str, str]) -> JsonDict:
    """Return the facts in a CSV row's metadata cells; an empty cell counts as absent."""
    texts = {name: unescaped(text) for name, text in of_today(cells).items() if name not in MEASURED}
    return {name: typed(name, text) for name, text in texts.items() if text}


def statement_from_row(isic_id: str, licence: str, attribution: str, raw_metadata: str) -> Statement:
    """Return the statement that a snapshot's row was made from."""
    return Statement(isic_id, licence, attribution, of_today(json.loads(raw_metadata)))


def typed(name: str, text: str) -> object:
    """Return a cell in the type that the archive's JSON has for it; decimals stay text there, too."""
    if name in WHOLE_NUMBERS or name in MEASURED:
        whole = text.removesuffix(".0")  # spreadsheets write 45 as 45.0
        digits = whole.removeprefix("-")  # the days of an acquisition are counted from another one
        return int(whole) if digits.isascii() and digits.isdecimal() else text
    if name in FLAGS and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def escaped(text: str) -> str:
    """Return a cell as the archive writes it: what a spreadsheet would take for a formula begins with a TAB."""
    return f"\t{text}" if text.startswith(_FORMULA_STARTS) else text


def unescaped(cell: str) -> str:
    """Return a cell without surrounding blanks and without the TAB that guards against formulas."""
    return cell[1:].strip() if cell.startswith("\t") and cell[1:].startswith(_FORMULA_STARTS) else cell.strip()
