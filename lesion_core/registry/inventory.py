"""What lies in a store, distinguished by its keys: artifact folders, gate decisions, and what nobody here made.

Raw bytes (``archive/``) may be half a million objects; they are looked at one by one where they are needed, and
never held.
"""

import datetime
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.keys import (
    CLAIMS,
    COMPARISONS,
    DIGEST_LENGTH,
    LOOKS,
    SOURCE_SHIFTS,
    UNKNOWN_CLASSES,
    id_of,
    index_key,
)
from lesion_core.stores.folders import FolderIndex, files_folder, find
from lesion_core.stores.protocol import ObjectEntry, Store
from lesion_core.types import Sha256, StoreKey

# In the order in which they are made; a later one may need an earlier one, never the other way round.
FOLDER_KINDS = (
    "listings",
    "shards",
    "snapshots",
    "datasets",
    "data-reports",
    "trials",
    "studies",
    "models",
    "reports",
)
GATES, SIGNALS, ARCHIVE = "gates", "signals", "archive"
# Never touched: what was decided, noted and answered, the channels themselves, and pretrained weights that somebody
# put there. A comparison is a record, too: it keeps its numbers and figures, which show no image, but holds none of
# the models and reports that it was made from; nor do the records of what was left out of a training.
UNTOUCHED = (
    *("channels", "events", "withdrawn", "members", "audit", "weights"),
    *(COMPARISONS, UNKNOWN_CLASSES, SOURCE_SHIFTS, LOOKS, CLAIMS),
)
# Holds a folder's index while the folder is being removed: without ``index.json`` it exists for no reader, and
# whoever finds this note can still tell what it was.
CONDEMNED_NAME = "condemned.json"

_FOLDER = re.compile(rf"^(?:{'|'.join(FOLDER_KINDS)})/[^/]+/[0-9a-f]{{{DIGEST_LENGTH}}}(?=/)")
_RAW = re.compile(rf"^{ARCHIVE}/ISIC_[0-9]{{7}}/[0-9a-f]{{64}}\.[a-z0-9]+$")
_GATE = re.compile(rf"^{GATES}/[^/]+/[^/]+/[^/]+\.json$")
_SIGNAL = re.compile(rf"^{SIGNALS}/[^/]+/[0-9]+/[a-z]+-[0-9]+\.json$")


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """One folder with everything below its key.

    Attributes:
        entries: Every object of it, sorted by key.
        index: What its index says, or said before the folder was condemned; ``None``: files without any index.
        sha256: Digest of that index.
        is_condemned: Whether its index was taken away and its files are yet to go.
    """

    key: StoreKey
    entries: tuple[ObjectEntry, ...]
    index: FolderIndex | None
    sha256: Sha256
    is_condemned: bool

    @property
    def kind(self) -> str:
        """First part of the key."""
        return self.key.partition("/")[0]

    @property
    def id(self) -> str:
        """The key without its first part."""
        return id_of(self.key)

    @property
    def published(self) -> datetime.datetime:
        """When the index, or the note in its place, was written."""
        notes = (index_key(self.key), f"{self.key}/{CONDEMNED_NAME}")
        return max(entry.modified for entry in self.entries if entry.key in notes)

    @property
    def is_whole(self) -> bool:
        """Whether every file that the index names is there."""
        return self._named() <= {entry.key for entry in self.entries}

    def strays(self) -> list[ObjectEntry]:
        """Return the objects that no index names: of an attempt that was killed, or that came second."""
        named = {*self._named(), index_key(self.key)} if self.index else frozenset[str]()
        return [entry for entry in self.entries if entry.key not in named]

    def _named(self) -> set[StoreKey]:
        if self.index is None:
            return set()
        home = files_folder(self.key, self.index)
        return {f"{home}/{name}" for name in self.index.files}


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything but raw bytes and what is never touched.

    Attributes:
        folders: Complete and condemned ones, by key.
        headless: Folders without any index.
        torn: Condemned folders of which files are gone already; nothing brings them back.
        gates: Gate decisions.
        signals: What passes between running trials and their study, which removes it unless it is abandoned.
        unknown: Objects under keys that this program does not make, and folders whose index cannot be read.
    """

    folders: dict[StoreKey, StoredFolder] = field(default_factory=dict)
    headless: list[StoredFolder] = field(default_factory=list)
    torn: list[StoredFolder] = field(default_factory=list)
    gates: list[ObjectEntry] = field(default_factory=list)
    signals: list[ObjectEntry] = field(default_factory=list)
    unknown: list[ObjectEntry] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[StoredFolder]:
        """Return the folders of one kind, sorted by key."""
        return [folder for folder in self.folders.values() if folder.kind == kind]


def take_inventory(store: Store) -> Inventory:
    """List a store once and read every index in it."""
    inventory = Inventory()
    for folder_key, entries in itertools.groupby(_entries(store), key=lambda entry: _folder_of(entry.key)):
        if folder_key:
            _add_folder(store, inventory, folder_key, tuple(entries))
        else:
            _add_objects(inventory, entries)
    return inventory


def _entries(store: Store) -> Iterator[ObjectEntry]:
    for entry in store.entries(""):
        if entry.key.partition("/")[0] not in UNTOUCHED and not is_raw(entry.key):
            yield entry


def is_raw(key: StoreKey) -> bool:
    """Say whether a key is that of an image's raw bytes."""
    return _RAW.match(key) is not None


def _folder_of(key: StoreKey) -> StoreKey:
    found = _FOLDER.match(key)
    return found.group() if found else ""


def _add_objects(inventory: Inventory, entries: Iterable[ObjectEntry]) -> None:
    for entry in entries:
        if _GATE.match(entry.key):
            inventory.gates.append(entry)
        elif _SIGNAL.match(entry.key):
            inventory.signals.append(entry)
        else:
            inventory.unknown.append(entry)


def _add_folder(store: Store, inventory: Inventory, key: StoreKey, entries: tuple[ObjectEntry, ...]) -> None:
    keys = {entry.key for entry in entries}
    is_condemned = index_key(key) not in keys and f"{key}/{CONDEMNED_NAME}" in keys
    try:
        found = read_condemned(store, key) if is_condemned else find(store, key) if index_key(key) in keys else None
    except ArtifactCorrupt:
        inventory.unknown.extend(entries)
        return
    index, sha256 = found or (None, "")
    folder = StoredFolder(key=key, entries=entries, index=index, sha256=sha256, is_condemned=is_condemned)
    if index is None:
        inventory.headless.append(folder)
    elif is_condemned and not folder.is_whole:
        inventory.torn.append(folder)
    else:
        inventory.folders[key] = folder


def read_condemned(store: Store, folder_key: StoreKey) -> tuple[FolderIndex, Sha256] | None:
    """Return the index that a condemned folder had, and its sha256; ``None`` where there is no note.

    Raises:
        ArtifactCorrupt: The note holds no index.
    """
    key = f"{folder_key}/{CONDEMNED_NAME}"
    try:
        body = store.read(key)
    except ArtifactNotFound:
        return None
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        return FolderIndex.model_validate_json(body), sha256
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected the index of a folder that is being removed at {key!r} in {store.url}, got something else; "
            "remove the folder by hand",
            key=key,
            expected="a folder index",
            actual=sha256,
        ) from error
