"""Where a trial keeps its backups on this machine, and how they are given up."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lesion_core.keys import id_of
from lesion_core.stores.filesystem import locked
from lesion_core.types import StoreKey


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder, and the file that keeps every other process with the same trial out of it."""

    folder: Path
    lock: Path


def scratch_of(key: StoreKey, workdir: Path) -> Scratch:
    """Return the scratch of the trial whose folder in the store is ``key``."""
    folder = workdir / "trials" / id_of(key)
    return Scratch(folder, folder.with_name(f".{folder.name}.lock"))


def give_up(key: StoreKey, workdir: Path) -> None:
    """Remove the backups of a trial that will not go on; waits for whoever works with them."""
    scratch = scratch_of(key, workdir)
    with locked(scratch.lock):
        shutil.rmtree(scratch.folder, ignore_errors=True)
