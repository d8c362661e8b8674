"""The datasets made under one name, from the first to the newest."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from lesion_core.dataset.splitting.split_history import SPLIT_HISTORY_NAME, empty_split_history, parse_split_history
from lesion_core.errors import ConfigError
from lesion_core.refs import DatasetRef
from lesion_core.stores.folders import FolderIndex, list_folders, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import ColourConstancy, JsonDict


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
    def test_name(self) -> str | None:
        """Name of its test split; ``None`` where it was made before they had names."""
        name: str | None = self.index.inputs["options"].get("test_name")
        return name

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


def find_newest_recorded(store: Store, name: str, size_px: int, colour_constancy: ColourConstancy) -> Ancestor | None:
    """Return the newest complete dataset called ``name`` whose records have this size and colour, or ``None``."""
    wanted = (size_px, colour_constancy)
    fitting = (made for made in _all(store, name) if (made.ref.size_px, made.ref.colour_constancy) == wanted)
    return max(fitting, key=lambda made: made.age, default=None)


def descent_of(parent: Ancestor | None) -> JsonDict:
    """Return what a new dataset says about its parent, part of its inputs."""
    if parent is None:
        return {"parent": None, "generation": 0}
    return {"parent": parent.ref.id, "generation": parent.generation + 1}


def read_split_history(store: Store, parent: Ancestor | None) -> pd.DataFrame:
    """Return the split history of a dataset, or an empty one.

    Raises:
        ArtifactNotFound: A file of the dataset is gone.
        ArtifactCorrupt: Its bytes are not those that were published.
    """
    if parent is None:
        return empty_split_history()
    return parse_split_history(read_file(store, parent.ref, SPLIT_HISTORY_NAME))


def find_first_of_test(store: Store, name: str, test_name: str) -> Ancestor | None:
    """Return the oldest dataset called ``name`` that has the test split ``test_name``: the one that froze it."""
    fitting = (made for made in _all(store, name) if made.test_name == test_name)
    return min(fitting, key=lambda made: made.age, default=None)


def check_folds(parent: Ancestor | None, n_folds: int) -> None:
    """Refuse another number of folds than the datasets of this name have: a fold is for good.

    Raises:
        ConfigError: It is another.
    """
    known = n_folds if parent is None else parent.index.inputs["options"].get("n_folds", n_folds)
    if known != n_folds:
        raise ConfigError(
            f"expected {known} folds, which the datasets of this name have, got {n_folds}; an image's fold is for "
            "good: keep the number, or choose another name"
        )


def is_frozen(store: Store, name: str, parent: Ancestor | None, test_name: str) -> bool:
    """Return whether the test split of this name may not grow any more.

    Raises:
        ConfigError: It was succeeded by another one, whose images it cannot take back.
    """
    if parent is None:
        return False
    if parent.test_name != test_name and find_first_of_test(store, name, test_name) is not None:
        raise ConfigError(
            f"expected the test split {parent.test_name!r}, which dataset {name!r} has now, or a new name, got "
            f"{test_name!r}, which came before it; a test split does not shrink to an older one",
            test_name=test_name,
        )
    return parent.test_name == test_name


def _all(store: Store, name: str) -> Iterator[Ancestor]:
    for key, index, sha256 in list_folders(store, f"datasets/{name}/"):
        yield Ancestor(ref_from_folder(DatasetRef, key, index, sha256), index)
