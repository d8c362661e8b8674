"""The table of answers: checked before the work, written as a whole after it."""

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from lesion_core.errors import ConfigError
from lesion_core.fields.kinds import CategoryField
from lesion_core.fields.table import FIELDS
from lesion_core.labels import CLASS_ORDER

_TEXT, _NUMBER, _COUNT, _FLAG = "string", "float64", "Int64", "boolean"
COLUMNS: Mapping[str, str] = {
    "image": _TEXT,
    "leading": _TEXT,
    **{f"p_{name}": _NUMBER for name in CLASS_ORDER},
    "ood_score": _NUMBER,
    "out_of_distribution": _FLAG,
    "refused": _TEXT,
    **{field.name: _TEXT if isinstance(field, CategoryField) else _NUMBER for field in FIELDS},
    "table_row": _COUNT,
    "metadata_note": _TEXT,
    "model": _TEXT,
}
_ENDINGS = (".csv", ".parquet")


def check_output(output: Path, *, inputs: Sequence[Path]) -> Path:
    """Return the file to write, links followed, after trying that its folder takes files.

    Raises:
        ConfigError: Its ending is not known, it is one of the inputs or no regular file, or its folder is not there
            or takes no files.
    """
    if output.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"expected an output ending in .csv or .parquet, got {output}")
    target = Path(os.path.realpath(output))
    if str(target) in {os.path.realpath(path) for path in inputs}:
        raise ConfigError(f"expected an output of its own, got {output}, which is an input; choose another name")
    if os.path.exists(target) and not os.path.isfile(target):
        raise ConfigError(f"expected a file to write at {output}, got a folder or device; choose another name")
    if not os.path.isdir(target.parent):
        raise ConfigError(f"expected the folder of the output {output} to be there, found none; make it first")
    trial = _temporary(target)
    try:
        trial.touch(exist_ok=False)
        trial.unlink()
        with suppress(FileNotFoundError):
            target.lstat()  # fails for a name that is too long
    except OSError as error:
        raise _not_written(output, error) from error
    return target


def write_output(rows: Sequence[Mapping[str, object]], target: Path) -> None:
    """Write rows with the keys ``COLUMNS``, first under a hidden name, so that a file is whole or as it was.

    Raises:
        ConfigError: It cannot be written; what was there stays as it was.
    """
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))
    partial = _temporary(target)
    try:
        if target.suffix.lower() == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False)
        partial.replace(target)
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _temporary(target: Path) -> Path:
    """Return a hidden name beside the target, so on its disk; the folder's next scoring leaves it out."""
    return target.parent / f".{secrets.token_hex(8)}.partial"


def _not_written(output: Path, error: OSError) -> ConfigError:
    reason = error.strerror or os.strerror(error.errno or 0)
    return ConfigError(f"expected to write {output}, got: {reason}; choose another folder, or free room in it")
