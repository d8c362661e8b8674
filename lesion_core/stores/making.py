"""One making of each artifact: found if it is there, else made by one process while the others wait."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lesion_core.refs import Ref
from lesion_core.stores.filesystem import locked
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference
from lesion_core.types import StoreKey

_Ref = TypeVar("_Ref", bound=Ref)


def lock_of(scratch: Path) -> Path:
    """Return the file that keeps every other process of this machine with the same work out of ``scratch``."""
    return scratch.with_name(f".{scratch.name}.lock")


def make_once(store: Store, ref_type: type[_Ref], key: StoreKey, scratch: Path, make: Callable[[], _Ref]) -> _Ref:
    """Return the reference to the folder at ``key``, which ``make`` publishes if it is not in the store.

    Args:
        store: Where it belongs.
        ref_type: Its kind of reference.
        key: Its folder.
        scratch: Folder of the work on this machine, which ``make`` may create. It is removed once the work is done,
            and left as it is where the work fails, so that it can be taken up again.
        make: Does the work and returns the reference; called at most once.
    """
    if (ref := find_reference(store, ref_type, key)) is not None:
        return ref
    with locked(lock_of(scratch)):
        if (ref := find_reference(store, ref_type, key)) is not None:
            return ref
        ref = make()
        shutil.rmtree(scratch, ignore_errors=True)
    return ref


def emptied(folder: Path) -> Path:
    """Return ``folder``, there and empty: for work that cannot be taken up where it ended."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
