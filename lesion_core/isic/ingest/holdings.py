"""Which of the wanted images the store already holds, so that they are not transferred again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pyarrow.parquet as pq

from lesion_core.isic.snapshot import IMAGES_NAME
from lesion_core.stores.folders import list_folders, materialise
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey

_SNAPSHOTS_READ = 3  # what only older ones describe is read from the store and checked again
_FACTS = ("isic_id", "sha256", "image_key", "n_bytes", "width", "height", "etag")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """Raw bytes of one image in the store, known to decode; width and height in pixels, as shown.

    ``etag`` is the version tag that the archive's server gave with them, if it did.
    """

    isic_id: str
    sha256: str
    image_key: StoreKey
    n_bytes: int
    width: int
    height: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is there.

    Attributes:
        keys: Keys of the stored bytes, by id; several where the archive replaced them.
        known: Images that an earlier snapshot describes.
        unproven: Keys of images that are stored but in no snapshot (an earlier run was interrupted), by id;
            their bytes are yet to be checked.
        tags: Version tags that the archive's server gave with stored bytes, by their key, where they are newer than
            what a snapshot has.
    """

    keys: Mapping[str, Sequence[StoreKey]] = field(default_factory=dict)
    known: Mapping[str, StoredImage] = field(default_factory=dict)
    unproven: Mapping[str, StoreKey] = field(default_factory=dict)
    tags: Mapping[StoreKey, str] = field(default_factory=dict)


def earlier_tables(store: Store, name: str, cache: Path) -> tuple[Path, ...]:
    """Return local files with the images of the newest snapshots called ``name``, the newest first."""
    folders = sorted(list_folders(store, f"snapshots/{name}/"), key=lambda item: item[1].created, reverse=True)
    return tuple(materialise(store, key, cache) / IMAGES_NAME for key, _, _ in folders[:_SNAPSHOTS_READ])


def find_holdings(
    store: Store, tables: Sequence[Path], wanted: Collection[str], tags: Mapping[StoreKey, str] | None = None
) -> Holdings:
    """Look up the wanted ids, which should lie close together, in the store and in earlier snapshots.

    Args:
        store: Where.
        tables: Images of earlier snapshots, from ``earlier_tables``; of each, only rows near the ids are read.
        wanted: Archive ids.
        tags: What is known besides of the tags of stored bytes, by their key.
    """
    keys = _stored_keys(store, wanted)
    known: dict[str, StoredImage] = {}
    for table in tables:
        if len(known) == len(keys):
            break
        for image in _described(table, min(keys), max(keys)):
            if image.image_key in keys.get(image.isic_id, ()):
                known.setdefault(image.isic_id, image)
    unproven = {isic_id: some[-1] for isic_id, some in keys.items() if isic_id not in known}
    return Holdings(keys, known, unproven, tags or {})


def _stored_keys(store: Store, wanted: Collection[str]) -> dict[str, list[StoreKey]]:
    """Return the keys of the raw bytes of each wanted image that has any; ids that lie together are found fastest."""
    if not wanted:
        return {}
    keys: dict[str, list[StoreKey]] = {}
    sought = frozenset(wanted)
    for key in store.list(f"archive/{_common_start(min(sought), max(sought))}"):
        isic_id = key.split("/")[1]
        if isic_id in sought:
            keys.setdefault(isic_id, []).append(key)
    return keys


def _common_start(first: str, last: str) -> str:
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


def _described(table: Path, first: str, last: str) -> list[StoredImage]:
    rows = pq.read_table(
        table, columns=list(_FACTS), filters=[("isic_id", ">=", first), ("isic_id", "<=", last)], memory_map=True
    )
    return [StoredImage(**row) for row in rows.to_pylist()]
