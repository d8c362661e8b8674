"""What of a store is needed, and by what.

From the roots along what each folder was made from::

    channel ──▶ model ──▶ dataset ──▶ snapshot ──▶ listing        a fine-tuned model ──▶ the model it started from
                  ▲ report,     ▲ data report,        ▲ shard
                    gate decision study, trial

A report belongs to its model, a data report to its dataset, a shard to its listing: each stays as long as that does.
So do a study and its trials with their dataset: they are small, hold no pixels and no weights, and a study that goes
on takes its trials up again.

There are two strengths of need. **Held** is what a channel points at now, the newest dataset of each name (its split
history keeps the splits stable), and whatever is so young that a run may be working with it. **Kept** is that, and
also every model in a channel's history, so that a rollback finds it, and everything younger than the retention.
What holds pixels of a withdrawn image stays only if it is held.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from lesion_core.registry.channel_history import read_events, read_pointer
from lesion_core.registry.inventory import FOLDER_KINDS, Inventory, StoredFolder
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey

# A run lasts hours. What was published less than this ago may be in use, whatever the retention.
IN_USE = datetime.timedelta(days=1)
# Whose folder is needed as long as the folder that its summary names under this field is, and that one's kind.
_BELONGS_TO = {
    "reports": ("model", "models"),
    "data-reports": ("dataset", "datasets"),
    "trials": ("dataset", "datasets"),
    "studies": ("dataset", "datasets"),
    "shards": ("listing", "listings"),
}

Reasons = dict[StoreKey, str]


@dataclass(frozen=True, slots=True)
class Reach:
    """The folders that are needed, each with why, by key (see the module's text)."""

    held: Reasons
    kept: Reasons


def find_reachable(
    store: Store, inventory: Inventory, *, now: datetime.datetime, retention: datetime.timedelta
) -> Reach:
    """Follow every root through the inventory; the channels are read anew.

    Raises:
        ArtifactCorrupt: A channel or its history cannot be read, so nobody can say what is needed.
    """
    pointed_at, in_history = _channel_models(store)
    held = [pointed_at, _newest_datasets(inventory), _young(inventory, now - IN_USE)]
    kept = [*held, in_history, _young(inventory, now - retention)]
    return Reach(held=_closed(inventory, held), kept=_closed(inventory, kept))


def needs_of(folder: StoredFolder) -> Iterator[StoreKey]:
    """Yield the keys of the folders that a folder was made from."""
    if folder.index is None:
        return
    inputs, summary = folder.index.inputs, folder.index.summary
    if folder.kind == "datasets":
        yield from _key("snapshots", inputs.get("snapshot"))
    elif folder.kind in ("snapshots", "shards"):
        yield from _key("listings", summary.get("listing", inputs.get("listing")))
    elif folder.kind in ("data-reports", "trials", "studies", "models", "reports"):
        yield from _key("datasets", summary.get("dataset"))
        yield from _key("models", summary.get("model"))
        yield from _key("models", inputs.get("start_from"))
        yield from _key("models", inputs.get("teacher"))


def _key(kind: str, named: object) -> Iterator[StoreKey]:
    """Yield the key of a folder that an index names by its id or by a whole reference."""
    artifact_id = named.get("id") if isinstance(named, Mapping) else named
    if isinstance(artifact_id, str):
        yield f"{kind}/{artifact_id}"


def _channel_models(store: Store) -> tuple[Reasons, Reasons]:
    """Return the models that channels point at now, and those that they ever pointed at."""
    now: Reasons = {}
    ever: Reasons = {}
    for channel in (PurePosixPath(key).stem for key in store.list("channels/")):
        pointer, _ = read_pointer(store, channel)
        if pointer is not None and pointer.model is not None:
            now.setdefault(pointer.model.key, f"model {pointer.model.id}, which channel {channel!r} points at")
        for event in read_events(store, channel):
            if event.model_id is not None:
                ever[f"models/{event.model_id}"] = f"model {event.model_id}, in the history of channel {channel!r}"
    return now, ever


def _newest_datasets(inventory: Inventory) -> Reasons:
    newest: dict[str, tuple[tuple[int, str, str], StoreKey]] = {}
    for folder in inventory.of_kind("datasets"):
        if folder.index is not None and not folder.is_condemned:
            name = folder.id.partition("/")[0]
            # The order of lesion_core.dataset.lineage: descent first, because clocks differ between machines.
            age = (int(folder.index.inputs.get("generation", 0)), folder.index.created, folder.key)
            newest[name] = max(newest.get(name, (age, folder.key)), (age, folder.key))
    return {key: f"the newest dataset called {name!r}" for name, (_, key) in newest.items()}


def _young(inventory: Inventory, since: datetime.datetime) -> Reasons:
    return {
        folder.key: f"{folder.key}, published only on {folder.published:%Y-%m-%d}"
        for folder in inventory.folders.values()
        if not folder.is_condemned and folder.published > since
    }


def _closed(inventory: Inventory, roots: Iterable[Reasons]) -> Reasons:
    """Return the roots, what they need, what that needs, and what belongs to any of it; the first root is the why."""
    reached: Reasons = {}
    for root, why in (item for group in roots for item in group.items()):
        pending = [root]
        while pending:
            key = pending.pop()
            if key in inventory.folders and key not in reached:
                reached[key] = why
                pending += needs_of(inventory.folders[key])
    for folder in _belonging(inventory):
        owner = next(_owner(folder), None)
        if owner in reached:
            reached.setdefault(folder.key, reached[owner])
    return reached


def _belonging(inventory: Inventory) -> Iterable[StoredFolder]:
    return (folder for kind in FOLDER_KINDS if kind in _BELONGS_TO for folder in inventory.of_kind(kind))


def _owner(folder: StoredFolder) -> Iterator[StoreKey]:
    field, kind = _BELONGS_TO[folder.kind]
    if folder.index is not None:
        yield from _key(kind, folder.index.summary.get(field))
