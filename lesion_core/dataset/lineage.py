"""The datasets made under one name, from the first to the newest."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from lesion_core.dataset.ledger import LEDGER_NAME, LEDGER_SCHEMA, empty_ledger
from lesion_core.dataset.manifest import read_table
from lesion_core.stores.folders import FolderIndex, list_folders, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import DatasetRef, JsonDict


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A complete dataset in the store."""

    ref: DatasetRef
    index: FolderIndex

    @property
    def generation(self) -> int:
        """How many datasets of this name it descends from."""
        return int(self.index.inputs["generation"])

    @property
    def age(self) -> tuple[int, str, str]:
        """Sorts from old to new: descent first, because clocks differ between machines."""
        return self.generation, self.index.created, self.ref.key


def find_newest(store: Store, name: str, wanted: JsonDict | None = None) -> Ancestor | None:
    """Return the newest complete dataset called ``name``, or ``None``.

    Args:
        store: Where to look.
        name: Name of the dataset.
        wanted: Inputs that it must have been made from; ``None`` accepts all.
    """
    fitting = (made for made in _all(store, name) if (wanted or {}).items() <= made.index.inputs.items())
    return max(fitting, key=lambda made: made.age, default=None)


def descent_of(parent: Ancestor | None) -> JsonDict:
    """Return what a new dataset says about its parent, part of its inputs."""
    if parent is None:
        return {"parent": None, "generation": 0}
    return {"parent": parent.ref.id, "generation": parent.generation + 1}


def read_ledger(store: Store, parent: Ancestor | None) -> pd.DataFrame:
    """Return the ledger of a dataset, or an empty one.

    Raises:
        ArtifactNotFound: A file of the dataset is gone.
        ArtifactCorrupt: Its bytes are not those that were published.
    """
    if parent is None:
        return empty_ledger()
    return read_table(io.BytesIO(read_file(store, parent.ref, LEDGER_NAME)), LEDGER_SCHEMA)


def _all(store: Store, name: str) -> Iterator[Ancestor]:
    for key, index, sha256 in list_folders(store, f"datasets/{name}/"):
        yield Ancestor(ref_from_folder(DatasetRef, key, index, sha256), index)
