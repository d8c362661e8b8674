"""Which of the wanted images the store already holds, so that they are not transferred again."""

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from lesion_core.isic.snapshot import IMAGES_NAME
from lesion_core.stores.folders import list_folders, read_file
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey

_SNAPSHOTS_READ = 10  # what only older ones describe is read from the store and checked again
_FACTS = ("isic_id", "sha256", "image_key", "n_bytes", "width", "height")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """Raw bytes of one image in the store, known to decode; width and height in pixels, as shown."""

    isic_id: str
    sha256: str
    image_key: StoreKey
    n_bytes: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is there.

    Attributes:
        known: Images that an earlier snapshot describes.
        unproven: Keys of images that are stored but in no snapshot (an earlier run was interrupted), by id;
            their bytes are yet to be checked.
    """

    known: Mapping[str, StoredImage] = field(default_factory=dict)
    unproven: Mapping[str, StoreKey] = field(default_factory=dict)


def find_holdings(store: Store, snapshots_prefix: str, wanted: Collection[str]) -> Holdings:
    """Look up the wanted ids in one listing of the store and in earlier snapshots, the newest first.

    An image whose bytes the archive has replaced since is not noticed: the archive tells no version of a
    file without sending it. A new store, or a removed ``archive/<isic_id>/``, gets the new bytes.

    Args:
        store: Where.
        snapshots_prefix: Snapshots to look through, e.g. ``snapshots/isic/``.
        wanted: Archive ids.
    """
    keys = _stored_keys(store, frozenset(wanted))
    known: dict[str, StoredImage] = {}
    if keys:
        folders = sorted(list_folders(store, snapshots_prefix), key=lambda item: item[1].created, reverse=True)
        for folder_key, _, _ in folders[:_SNAPSHOTS_READ]:
            if len(known) == len(keys):
                break
            for image in _described(store, folder_key):
                if image.image_key in keys.get(image.isic_id, ()):
                    known.setdefault(image.isic_id, image)
    return Holdings(known, {isic_id: some[-1] for isic_id, some in keys.items() if isic_id not in known})


def _stored_keys(store: Store, wanted: frozenset[str]) -> dict[str, list[StoreKey]]:
    keys: dict[str, list[StoreKey]] = {}
    for key in store.list("archive/"):
        isic_id = key.split("/")[1]
        if isic_id in wanted:
            keys.setdefault(isic_id, []).append(key)
    return keys


def _described(store: Store, folder_key: StoreKey) -> list[StoredImage]:
    table = pq.read_table(io.BytesIO(read_file(store, folder_key, IMAGES_NAME)), columns=list(_FACTS))
    return [StoredImage(**row) for row in table.to_pylist()]
