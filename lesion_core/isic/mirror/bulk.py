"""The bulk tables that the mirror serves, in the archive's form: tokens, metadata as CSV, licences."""

import base64
import binascii
import csv
import io
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from lesion_core.archive_fields import AGE, MEASURED, OWN, PUBLIC
from lesion_core.isic.mirror.folder import Entry
from lesion_core.isic.statements import escaped, typed
from lesion_core.types import Licence, Value

LICENCE_TEXTS: dict[Licence, str] = {
    "CC-0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-NC": "https://creativecommons.org/licenses/by-nc/4.0/",
}


class Wanted(Value):
    """The search that a bulk token stands for; the archive takes collections as numbers or as text."""

    query: str | None = None
    collections: tuple[int, ...] | str | None = None

    def numbers(self) -> tuple[int, ...]:
        """Return the collections as numbers; raises ``ValueError`` where they are none."""
        if isinstance(self.collections, str):
            return tuple(int(part) for part in self.collections.split(",") if part.strip())
        return self.collections or ()

    def token(self) -> str:
        """Return the token."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode()


def wanted_by(token: str) -> Wanted | None:
    """Return the search that a token stands for, or ``None`` where it is no token."""
    try:
        return Wanted.model_validate_json(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValidationError, ValueError):
        return None


def metadata_csv(entries: Sequence[Entry]) -> str:
    """Return the entries as the archive's CSV: its own columns, then every key that is used, sorted; no pixels.

    An age of 0 is an empty cell: the archive's server takes it for none when it writes this table. Its JSON has it.
    """
    used = {name for entry in entries for name in entry.row} - {*OWN, PUBLIC, *MEASURED}
    columns = (*OWN, *sorted(used))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(entry.row, name) for name in columns] for entry in entries)
    return text.getvalue()


def _cell(row: Mapping[str, str], name: str) -> str:
    text = row.get(name, "")
    return "" if name == AGE and typed(name, text) == 0 else escaped(text)
