"""Where a trial keeps its checkpoints on this machine, and how they are given up."""

import shutil
from pathlib import Path

from lesion_core.keys import id_of
from lesion_core.stores.filesystem import locked
from lesion_core.stores.making import lock_of
from lesion_core.types import StoreKey


def scratch_of(key: StoreKey, workdir: Path) -> Path:
    """Return the scratch folder of the trial whose folder in the store is ``key``."""
    return workdir / "trials" / id_of(key)


def give_up(key: StoreKey, workdir: Path) -> None:
    """Remove the checkpoints of a trial that will not go on; waits for whoever works with them."""
    scratch = scratch_of(key, workdir)
    with locked(lock_of(scratch)):
        shutil.rmtree(scratch, ignore_errors=True)
