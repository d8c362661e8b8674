"""Names of columns: what each is read as, by every name that the archive, its challenges and HAM10000 give it.

Those of the metadata are in the table of fields (``lesion_core.fields.table``), such as ``age_approx`` for the age.
Upper and lower case are the same, and so are names with the former archive's prefixes (``meta.clinical.age_approx``).
"""

import difflib
import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lesion_core import archive_fields
from lesion_core.errors import ManifestError
from lesion_core.fields.table import FIELDS, in_words
from lesion_core.labels import CLASS_ORDER

IMAGE = ("image", "image_name", "image_id", archive_fields.IMAGE_ID, "filename", "file_name")
_METADATA = tuple(name for field in FIELDS for name in field.columns)
_TODAY = {
    older: name
    for name in (*archive_fields.SITE, archive_fields.SITE_SPECIAL)
    for older in archive_fields.names_of(name)
}
_ARCHIVE = (
    *(*archive_fields.SEARCHED, *archive_fields.MEASURED, archive_fields.ATTRIBUTION, archive_fields.DAY),
    *(archive_fields.FORMER_MALIGNANCY, archive_fields.FORMER_DIAGNOSIS),
)
_OLDER = (old for name in _ARCHIVE if name not in archive_fields.OWN for old in archive_fields.OLDER.get(name, ()))
# What the same tables hold besides, and a prediction does not use: the archive's own columns, former and present
# ones, those of the challenges of 2018, 2019, 2020 and 2024, and those of HAM10000.
_NOT_USED = frozenset(
    {
        *_ARCHIVE, *_OLDER, "nevus_type", "mel_class", "mel_type",
        *(name.lower() for name in CLASS_ORDER), "unk", "target", "score_weight", "akiec", "iddx_full",
        *(f"iddx_{level}" for level in range(1, 6)), "dx", "dx_type", "dataset",
    }
) - {*IMAGE, *_METADATA}  # fmt: skip
_NOT_USED_START = "tbp_lv_"  # measurements of total body photography, challenge of 2024
_PREFIX = re.compile(r"^(?:meta(?:data)?\.)?(?:clinical|acquisition)\.")
_FORMER = re.compile(r"^(?:meta|dataset|notes|creator)\.|^_(?:id|modeltype)$|^(?:created|updated)$")
_FORMER_IMAGE = "name"
_CLOSE = 0.6


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table's columns are read as: the names as they stand in the header, by the known name."""

    known: dict[str, str]
    not_used: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    def of(self, names: Collection[str]) -> dict[str, str]:
        """Return the columns of one meaning: known name to name in the header."""
        return {known: header for known, header in self.known.items() if known in names}


def known_name(header: str) -> str | None:
    """Return the known name behind a column's name, or ``None`` where it means nothing here."""
    name = _PREFIX.sub("", header.strip().casefold())
    name = _TODAY.get(name, name)
    return name if name in {*IMAGE, *_METADATA, *_NOT_USED} or name.startswith(_NOT_USED_START) else None


def meaning_of(header: str) -> str | None:
    """Return what a name is read as: 'image', the name of a field such as 'age_years', or ``None``."""
    meanings = {"image": IMAGE, **{field.name: field.columns for field in FIELDS}}
    name = known_name(header)
    return next((meaning for meaning, names in meanings.items() if name in names), None)


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that a misspelt one is most like, or ``None``."""
    close = difflib.get_close_matches(name.strip().casefold(), sorted(known), n=1, cutoff=_CLOSE)
    return close[0] if close else None


def choose_columns(path: Path, header: Sequence[str], ignored: Collection[str] = ()) -> Columns:
    """Say what each column of a table is read as.

    Args:
        path: The table, for messages.
        header: Its columns.
        ignored: Columns that are passed over, whatever they are called.

    Raises:
        ManifestError: A column is not known, none names the image, none tells any metadata, two have one name, or a
            column that is to be ignored is not there.
    """
    _check_ignored(path, header, ignored)
    taken = [name for name in header if name not in ignored]
    is_former = any(name.casefold().startswith("meta.") for name in taken)
    known: dict[str, str] = {}
    not_used: list[str] = []
    for name in taken:
        found = IMAGE[0] if is_former and name.casefold() == _FORMER_IMAGE else known_name(name)
        if found in known:
            raise ManifestError(f"expected one column {found} in {path}, got {known[found]} and {name}; remove one")
        if found in {*IMAGE, *_METADATA}:
            known[str(found)] = name
        elif found is not None or (is_former and _FORMER.match(name.casefold())):
            not_used.append(name)
    _check_known(path, [name for name in taken if name not in {*known.values(), *not_used}])
    columns = Columns(known, tuple(not_used), tuple(ignored))
    _check_meanings(path, header, columns)
    return columns


def _check_ignored(path: Path, header: Sequence[str], ignored: Collection[str]) -> None:
    if missing := [name for name in ignored if name not in header]:
        raise ManifestError(
            f"expected the columns to ignore in {path}, got no {', '.join(missing)}; it has {', '.join(header)}"
        )


def _check_known(path: Path, unknown: Sequence[str]) -> None:
    if not unknown:
        return
    near = {name: nearest(name, {*IMAGE, *_METADATA}) for name in unknown}
    hints = [f"{name} (did you mean {near[name]}?)" if near[name] else name for name in unknown]
    raise ManifestError(
        f"expected known columns in {path}, got also {', '.join(hints)}. {_known_in_words()} Rename the columns, "
        f"remove them, or pass them over with {' '.join(f'--ignore {_quoted(name)}' for name in unknown)}"
    )


def _check_meanings(path: Path, header: Sequence[str], columns: Columns) -> None:
    if not columns.of(IMAGE):
        raise ManifestError(
            f"expected a column that names the image ({', '.join(IMAGE)}) in {path}, got {', '.join(header)}; rename "
            "one"
        )
    if not columns.of(_METADATA):
        raise ManifestError(
            f"expected a column with {in_words(conjunction='or')} in {path}, got {', '.join(header)}. "
            f"{_known_in_words()} Leave the table out if none of them is known"
        )


def _known_in_words() -> str:
    return (
        f"Known are, for the image: {', '.join(IMAGE)}; "
        f"{'; '.join(f'for the {field.noun}: {_in_short(field.columns)}' for field in FIELDS)}."
    )


def _in_short(names: Sequence[str]) -> str:
    """Return names as a list; those that count up by their last digit as 'name_1 to name_5'."""
    runs = [list(run) for _, run in itertools.groupby(names, lambda name: name[:-1] if name[-1].isdigit() else name)]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else run[0] for run in runs)


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"'{name}'"
