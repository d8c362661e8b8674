"""Carrying a plan out, so that a run at the same time loses nothing and an interruption does no harm.

1. Each folder that may go is **condemned**, what is made last first: its index is copied to ``condemned.json`` and
   taken away. From then on the folder exists for no reader, and all its files are still there.
2. After a pause, the channels and the whole store are looked through **anew**. A condemned folder that is needed
   after all (somebody approved the model meanwhile, a run published what was made from it) gets its index back.
3. The files of the others go, the note last.

An interruption at any point leaves folders that are complete or condemned; the next collection goes on at step 2.
Files that no index names go once they are older than the retention. A run may find such a file of an earlier attempt
good at that very moment: ``folders.publish`` looks for its files again once its index is there, and
``_unpublish_if_torn`` looks for an index once the files are gone. Whichever comes second notices, so no folder stays
complete whose files are not all there.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from lesion_core.errors import StoreConflict
from lesion_core.keys import index_key
from lesion_core.lineage.exposure import leave_image_list
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.registry.inventory import CONDEMNED_NAME, StoredFolder
from lesion_core.registry.protocol import Clock
from lesion_core.registry.retention import Plan, Row, Tally, Why, make_plan
from lesion_core.stores.folders import files_folder, find
from lesion_core.stores.protocol import ObjectEntry, Store
from lesion_core.types import StoreKey

# Longer than any approval takes between reading a model's index and moving the channel to it.
SETTLE_SECONDS = 10.0


def collect(
    store: Store,
    *,
    retention: timedelta,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
    on_progress: ProgressCallback = ignore_progress,
) -> tuple[list[Row], Plan]:
    """Remove what may go; return what went, by kind and reason, and the plan of what had to stay.

    Args:
        store: Where.
        retention: What is younger stays, withdrawn pixels excepted.
        clock: The time.
        sleep: How to wait between condemning and looking again.
        on_progress: Gets the stages 'condemn' and 'remove'.

    Raises:
        ConfigError: The retention is shorter than a day.
        ArtifactCorrupt: What is needed cannot be determined; nothing was removed.
        StoreError: The store's own; a rerun goes on where this one stopped.
    """
    first = make_plan(store, retention=retention, now=clock())
    fresh = [item.folder for item in first.folders if not item.folder.is_condemned]
    for number, folder in enumerate(fresh, 1):
        condemn(store, folder)
        on_progress(Progress(stage="condemn", done=number, total=len(fresh), message=folder.key))
    second = first
    if first.folders or first.returning:
        sleep(SETTLE_SECONDS)
        second = make_plan(store, retention=retention, now=clock())
    for folder in second.returning:
        _give_back(store, folder)
    reasons = {item.folder.key: item.why for item in first.folders}
    return _remove(store, second, reasons, on_progress), second


def condemn(store: Store, folder: StoredFolder) -> None:
    """Take a complete folder's index away, and keep it in a note beside the files."""
    if folder.kind == "datasets":
        leave_image_list(store, folder.key)
    store.write(f"{folder.key}/{CONDEMNED_NAME}", store.read(index_key(folder.key)))
    store.remove(index_key(folder.key))


def _give_back(store: Store, folder: StoredFolder) -> None:
    """Make a condemned folder complete again; where somebody has made it anew meanwhile, theirs stays."""
    key, body = index_key(folder.key), store.read(f"{folder.key}/{CONDEMNED_NAME}")
    if store.honours_conditions():
        with contextlib.suppress(StoreConflict):
            store.create(key, body)
    elif store.stat(key) is None:
        store.write(key, body)
    store.remove(f"{folder.key}/{CONDEMNED_NAME}")


def _remove(store: Store, plan: Plan, reasons: dict[StoreKey, Why], on_progress: ProgressCallback) -> list[Row]:
    gone = Tally()
    for entry, why in _going(store, plan, reasons):
        store.remove(entry.key)
        on_progress(Progress(stage="remove", done=gone.add(entry, why), message=entry.key))
    return gone.rows()


def _going(store: Store, plan: Plan, reasons: dict[StoreKey, Why]) -> Iterator[tuple[ObjectEntry, Why]]:
    """Yield each object when it may be removed; after those of one folder, look whether somebody published it."""
    for item in plan.folders:
        if item.folder.is_condemned:  # else it became unreachable just now, and waits for the next time
            notes = [entry for entry in item.folder.entries if entry.key.endswith(f"/{CONDEMNED_NAME}")]
            files = [entry for entry in item.folder.entries if entry not in notes]
            yield from ((entry, reasons.get(item.folder.key, item.why)) for entry in files)
            _unpublish_if_torn(store, item.folder.key)
            yield from ((entry, reasons.get(item.folder.key, item.why)) for entry in notes)
    touched: set[StoreKey] = set()
    for entry, why in plan.loose:
        yield entry, why
        touched.add("/".join(entry.key.split("/")[:3]))
    for folder_key in touched:
        _unpublish_if_torn(store, folder_key)
    yield from plan.raw(store)


def _unpublish_if_torn(store: Store, folder_key: StoreKey) -> None:
    """Take away the index of a folder that was published while its files went; whoever needs it makes it again."""
    if (found := find(store, folder_key)) is None:
        return
    home = files_folder(folder_key, found[0])
    there = set(store.list(f"{home}/"))
    if any(f"{home}/{name}" not in there for name in found[0].files):
        store.remove(index_key(folder_key))
