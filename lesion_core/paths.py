"""Paths as people write them: ``~`` and ``~name`` stand for a person's home, also where no shell replaced them."""

import os
from pathlib import Path

from lesion_core.errors import ConfigError

_FILE = "file://"


def expanded(path: Path | str) -> Path:
    """Return a path with a leading ``~`` or ``~name`` replaced by that person's home; any other as it is.

    Raises:
        ConfigError: Nobody of that name is known here.
    """
    given = os.fspath(path)
    meant = os.path.expanduser(given)
    if given.startswith("~") and meant.startswith("~"):
        raise ConfigError(
            f"expected the home of a person known on this machine at the beginning of {given!r}; write the whole path"
        )
    return Path(meant)


def absolute_path(path: Path | str) -> Path:
    """Return an expanded path below the folder that the process was started in; raises as ``expanded``."""
    return expanded(path).absolute()


def expanded_address(address: str) -> str:
    """Return a store's address, a directory or a URL, with its ``~`` expanded; ``file://~`` as well.

    Raises:
        ConfigError: As for ``expanded``.
    """
    if address.startswith(f"{_FILE}~"):
        return expanded(address.removeprefix(_FILE)).as_uri()
    return str(expanded(address)) if address.startswith("~") else address


def absolute_address(address: str) -> str:
    """Return a store's address that means the same from any folder; raises as ``expanded``."""
    address = expanded_address(address)
    return address if "://" in address or not address.strip() else os.path.abspath(address)
