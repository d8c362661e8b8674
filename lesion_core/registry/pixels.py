"""Where pixels of withdrawn images still are, and which raw bytes are still needed."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from lesion_core.dataset.records import SPLITS_NAME
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.evaluation.report import PREDICTIONS_NAME
from lesion_core.isic.listing.listing import read_statements
from lesion_core.isic.snapshot import IMAGES_NAME
from lesion_core.lineage.exposure import read_splits
from lesion_core.parquet import read_table
from lesion_core.refs import ListingRef
from lesion_core.registry.inventory import Inventory, StoredFolder
from lesion_core.registry.reachability import Reach, needs_of
from lesion_core.stores.folders import files_folder
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import StoreKey

# Records are the pixels themselves; a report's figures show images that it was measured on.
_NAMES_ITS_IMAGES = {"datasets": SPLITS_NAME, "reports": PREDICTIONS_NAME}


@dataclass(frozen=True, slots=True)
class RawNeeds:
    """Which raw bytes stay.

    Attributes:
        keys: What kept snapshots name.
        isic_ids: Images of listings that no snapshot was made from yet: a download may be on its way.
    """

    keys: frozenset[StoreKey]
    isic_ids: frozenset[str]

    def cover(self, key: StoreKey) -> bool:
        """Say whether the object at ``archive/<isic_id>/<sha256>.<ext>`` is needed."""
        return key in self.keys or key.split("/")[1] in self.isic_ids


def find_raw_needs(store: Store, inventory: Inventory, reach: Reach) -> RawNeeds:
    """Read the tables of kept snapshots and open listings.

    Raises:
        ArtifactCorrupt: One of them cannot be read, so nobody can say which bytes are needed.
        ArtifactNotFound: The same.
    """
    snapshots = [folder for folder in inventory.of_kind("snapshots") if folder.key in reach.kept]
    finished = {listing for snapshot in snapshots for listing in needs_of(snapshot)}
    under_way = (
        folder
        for folder in inventory.of_kind("listings")
        if folder.key in reach.kept and folder.key not in finished and folder.index is not None
    )
    keys = (key for snapshot in snapshots for key in _column(store, snapshot, IMAGES_NAME, "image_key"))
    ids = (
        statement.isic_id
        for folder in under_way
        if folder.index is not None
        for statement in read_statements(store, ref_from_folder(ListingRef, folder.key, folder.index, folder.sha256))
    )
    return RawNeeds(keys=frozenset(keys), isic_ids=frozenset(ids))


def find_withdrawn(store: Store, folder: StoredFolder, withdrawn: frozenset[str]) -> tuple[str, ...]:
    """Return the withdrawn images whose pixels a folder holds, sorted; raises as ``find_raw_needs`` does."""
    if withdrawn and folder.kind == "data-reports":
        return _of_dataset(store, folder, withdrawn)
    name = _NAMES_ITS_IMAGES.get(folder.kind)
    if not withdrawn or name is None or folder.index is None or name not in folder.index.files:
        return ()
    return tuple(sorted(withdrawn.intersection(_column(store, folder, name, "isic_id"))))


def _of_dataset(store: Store, folder: StoredFolder, withdrawn: frozenset[str]) -> tuple[str, ...]:
    """Return the withdrawn images of the dataset that a data report shows samples of, removed or not."""
    with contextlib.suppress(ArtifactNotFound):
        for dataset in needs_of(folder):
            return tuple(sorted(withdrawn.intersection(read_splits(store, dataset)["isic_id"])))
    return ()


def _column(store: Store, folder: StoredFolder, name: str, column: str) -> Iterator[str]:
    table = read_table(_read(store, folder, name), [column])
    for batch in table.to_batches():
        yield from batch.column(0).to_pylist()


def _read(store: Store, folder: StoredFolder, name: str) -> bytes:
    """Return one file, verified, also of a folder whose index was taken away."""
    if folder.index is None or name not in folder.index.files:
        raise ArtifactCorrupt(
            f"expected {name!r} in {folder.key!r}, but its index does not list it; restore the folder from a backup, "
            "or remove it by hand",
            key=folder.key,
            expected=name,
            actual="",
        )
    key = f"{files_folder(folder.key, folder.index)}/{name}"
    body, expected = store.read(key), folder.index.files[name].sha256
    actual = hashlib.sha256(body).hexdigest()
    if actual != expected:
        raise ArtifactCorrupt(
            f"expected {key!r} in {store.url} to have sha256 {expected}, got {actual}; restore it from a backup, or "
            "remove the folder by hand",
            key=key,
            expected=expected,
            actual=actual,
        )
    return body
