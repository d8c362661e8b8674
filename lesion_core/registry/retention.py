"""What may go: a plan, made by looking only.

Nothing goes that is needed (``reachability``), nor anything younger than the retention, with one exception: pixels
of images that the archive withdrew. Their raw bytes go at once, and what else holds them goes as soon as neither a
channel points at it now nor a run may be working with it.
"""

import datetime
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lesion_core.errors import ConfigError
from lesion_core.isic.withdrawals import withdrawn_ids
from lesion_core.registry.inventory import ARCHIVE, FOLDER_KINDS, Inventory, StoredFolder, is_raw, take_inventory
from lesion_core.registry.pixels import RawNeeds, find_raw_needs, find_withdrawn
from lesion_core.registry.reachability import IN_USE, Reach, find_reachable
from lesion_core.stores.protocol import ObjectEntry, Store
from lesion_core.types import StoreKey


class Why(StrEnum):
    """Why something may go."""

    WITHDRAWN = "withdrawn by the archive"
    HOLDS_WITHDRAWN = "holds pixels of withdrawn images"
    UNREACHABLE = "no channel leads to it"
    STRAY = "left behind by an attempt that did not finish"
    BEGUN = "removal was begun before"
    UNUSED = "in no snapshot that is kept"


@dataclass(frozen=True, slots=True)
class Condemned:
    """A folder that may go."""

    folder: StoredFolder
    why: Why


@dataclass(frozen=True, slots=True)
class Holder:
    """A folder with pixels of withdrawn images that must stay, and what holds it."""

    key: StoreKey
    isic_ids: tuple[str, ...]
    held_by: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of what goes, by kind and reason."""

    kind: str
    why: Why
    n_objects: int
    n_bytes: int


class Tally:
    """Objects and bytes by kind and reason, counted as they come."""

    def __init__(self) -> None:
        self._n_objects: Counter[tuple[str, Why]] = Counter()
        self._n_bytes: Counter[tuple[str, Why]] = Counter()

    def add(self, entry: ObjectEntry, why: Why) -> int:
        """Count one object; return how many that makes."""
        at = entry.key.partition("/")[0], why
        self._n_objects[at] += 1
        self._n_bytes[at] += entry.size_bytes
        return self._n_objects.total()

    def rows(self) -> list[Row]:
        """Return the counts, sorted."""
        return [Row(*at, count, self._n_bytes[at]) for at, count in sorted(self._n_objects.items())]


@dataclass(frozen=True, slots=True)
class Plan:
    """What may go and what stays in spite of a withdrawal.

    Attributes:
        folders: Folders that may go, what is made last first.
        loose: Objects under no index, what abandoned trials said, gate decisions on models that are gone, with why.
        holders: What holds pixels of withdrawn images and stays.
        unknown: What this program does not know; it is never touched.
        returning: Folders whose removal was begun and that are needed after all.
        raw_needs: Which raw bytes stay.
        withdrawn: Ids of withdrawn images.
        older_than: Raw bytes and loose objects younger than this stay.
    """

    folders: tuple[Condemned, ...]
    loose: tuple[tuple[ObjectEntry, Why], ...]
    holders: tuple[Holder, ...]
    unknown: tuple[ObjectEntry, ...]
    returning: tuple[StoredFolder, ...]
    raw_needs: RawNeeds
    withdrawn: frozenset[str]
    older_than: datetime.datetime

    def raw(self, store: Store) -> Iterator[tuple[ObjectEntry, Why]]:
        """Yield the raw bytes that may go, one object at a time."""
        for entry in store.entries(f"{ARCHIVE}/"):
            if not is_raw(entry.key):
                continue
            if entry.key.split("/")[1] in self.withdrawn:
                yield entry, Why.WITHDRAWN
            elif entry.modified <= self.older_than and not self.raw_needs.cover(entry.key):
                yield entry, Why.UNUSED

    def rows(self, store: Store) -> list[Row]:
        """Return how much may go, by kind and reason."""
        counted = Tally()
        for entry, why in itertools.chain(_of_folders(self.folders), self.loose, self.raw(store)):
            counted.add(entry, why)
        return counted.rows()


def make_plan(store: Store, *, retention: datetime.timedelta, now: datetime.datetime) -> Plan:
    """Look through a store and say what may go; nothing is changed.

    Args:
        store: Where.
        retention: What is younger stays; at least a day, because a run may be working with it.
        now: The time.

    Raises:
        ConfigError: The retention is shorter than a day.
        ArtifactCorrupt: A channel, a history, or a table that says what is needed cannot be read.
    """
    if retention < IN_USE:
        raise ConfigError(
            f"expected a retention of at least {IN_USE.days} day, since a run may be working with what is younger, "
            f"got {retention}"
        )
    withdrawn = withdrawn_ids(store)
    inventory = take_inventory(store)
    reach = find_reachable(store, inventory, now=now, retention=retention)
    folders, holders = _judge(store, inventory, reach, withdrawn)
    older_than = now - retention
    return Plan(
        folders=tuple(sorted(folders, key=_last_made_first)),
        loose=tuple(_loose(inventory, reach, older_than)),
        holders=tuple(holders),
        unknown=tuple(inventory.unknown),
        returning=tuple(_returning(inventory, folders)),
        raw_needs=find_raw_needs(store, inventory, reach),
        withdrawn=withdrawn,
        older_than=older_than,
    )


def _judge(
    store: Store, inventory: Inventory, reach: Reach, withdrawn: frozenset[str]
) -> tuple[list[Condemned], list[Holder]]:
    """Tell folders that may go from those that hold pixels of withdrawn images and stay."""
    folders = [Condemned(folder, Why.BEGUN) for folder in inventory.torn]
    holders = []
    for folder in inventory.folders.values():
        if folder.key not in reach.kept:
            folders.append(Condemned(folder, Why.BEGUN if folder.is_condemned else Why.UNREACHABLE))
        elif pixels := find_withdrawn(store, folder, withdrawn):
            if folder.key in reach.held:
                holders.append(Holder(folder.key, pixels, reach.held[folder.key]))
            else:
                folders.append(Condemned(folder, Why.HOLDS_WITHDRAWN))
    return folders, holders


def _returning(inventory: Inventory, condemned: list[Condemned]) -> Iterator[StoredFolder]:
    going = {item.folder.key for item in condemned}
    return (folder for key, folder in inventory.folders.items() if folder.is_condemned and key not in going)


def _loose(inventory: Inventory, reach: Reach, older_than: datetime.datetime) -> Iterator[tuple[ObjectEntry, Why]]:
    for folder in (*inventory.headless, *(each for each in inventory.folders.values() if not each.is_condemned)):
        yield from ((entry, Why.STRAY) for entry in folder.strays() if entry.modified <= older_than)
    yield from ((entry, Why.STRAY) for entry in inventory.signals if entry.modified <= older_than)
    for entry in inventory.gates:
        recipe, digest = entry.key.split("/")[1:3]
        if entry.modified <= older_than and f"models/{recipe}/{digest}" not in reach.kept:
            yield entry, Why.UNREACHABLE


def _of_folders(condemned: tuple[Condemned, ...]) -> Iterator[tuple[ObjectEntry, Why]]:
    return ((entry, item.why) for item in condemned for entry in item.folder.entries)


def _last_made_first(item: Condemned) -> tuple[int, StoreKey]:
    return -FOLDER_KINDS.index(item.folder.kind), item.folder.key
