"""Which images a model saw, and which of them the archive has taken back since.

A dataset's own tables tell it. Where a dataset was removed because it held pixels of withdrawn images, the list of
its images stays behind (``members/``): ids, splits and digests, no pixels.
"""

import io
from collections.abc import Collection

import pandas as pd
from pydantic import Field

from lesion_core.dataset.manifest import MANIFEST_NAME
from lesion_core.dataset.records import SPLITS_NAME
from lesion_core.dataset.splitting.folds import splits_of_fold
from lesion_core.errors import ArtifactNotFound
from lesion_core.isic.withdrawals import withdrawn_ids
from lesion_core.keys import members_key
from lesion_core.parquet import read_frame
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.stores.folders import get_index, read_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference
from lesion_core.types import StoreKey, Value

MADE_FROM = ("train", "validation", "calibration")
_COLUMNS = ("isic_id", "group", "split", "fold", "class_index")


class Exposure(Value):
    """What a model saw of the images that the archive withdrew."""

    images: dict[str, tuple[str, ...]] = Field(description="Withdrawn images by split, each split sorted")
    unknown: tuple[str, ...] = Field(
        description="Ids of datasets and models that went into it and are stored no more, so nobody can tell"
    )

    @property
    def n_images(self) -> int:
        """How many they are."""
        return len({isic_id for ids in self.images.values() for isic_id in ids})

    def in_words(self) -> str:
        """Return one line for a terminal; empty where there is nothing to say."""
        said = [f"saw {self.n_images:,} of the images that the archive withdrew"] if self.n_images else []
        said += [f"what it saw in {', '.join(self.unknown)} is not known"] if self.unknown else []
        return "; ".join(said)


def find_exposure(store: Store, model: ModelRef, withdrawn: Collection[str] | None = None) -> Exposure:
    """Return the withdrawn images that went into a model or into those it started or learnt from.

    Args:
        store: Where everything lives.
        model: Which model.
        withdrawn: The withdrawn ids, where the caller has them; else they are read.
    """
    taken_back = withdrawn_ids(store) if withdrawn is None else withdrawn
    if not taken_back:
        return Exposure(images={}, unknown=())
    seen: dict[str, set[str]] = {split: set() for split in MADE_FROM}
    lineage, unknown = lineage_of(store, model)
    for made_from in {(each.dataset.id, each.fold): each for each in lineage}.values():
        try:
            members = read_splits(store, made_from.dataset, fold=made_from.fold)
        except ArtifactNotFound:
            unknown.append(made_from.dataset.id)
            continue
        taken = members[members["isic_id"].isin(taken_back)]
        for split in MADE_FROM:
            seen[split].update(taken.loc[taken["split"] == split, "isic_id"])
    return Exposure(
        images={split: tuple(sorted(ids)) for split, ids in seen.items() if ids}, unknown=tuple(sorted(set(unknown)))
    )


def lineage_of(store: Store, model: ModelRef) -> tuple[list[ModelRef], list[str]]:
    """Return the model and those it started or learnt from, nearest first, and the ids of those stored no more."""
    lineage, unknown = [model], list[str]()
    for each in lineage:  # grows while it is walked
        try:
            _, index = get_index(store, each.key)
        except ArtifactNotFound:
            continue
        for earlier in (index.inputs.get("start_from"), index.inputs.get("teacher")):
            if not isinstance(earlier, str) or earlier in {one.id for one in lineage} | set(unknown):
                continue
            ref = find_reference(store, ModelRef, f"models/{earlier}")
            if ref is None:
                unknown.append(earlier)
            else:
                lineage.append(ref)
    return lineage, unknown


def read_image_list(store: Store, dataset: DatasetRef | StoreKey, *, fold: int | None = None) -> pd.DataFrame:
    """Return which images a dataset has or, where it was removed, had.

    Returns:
        Columns isic_id, split and sha256, and group, fold and class_index, from which a fold's splits are made;
        ``split`` is that of ``fold`` where one is given.

    Raises:
        ArtifactNotFound: It is not stored, and nothing was left behind of it that tells this.
        ArtifactCorrupt: Its bytes are not those that were published.
    """
    try:
        manifest = read_file(store, dataset, MANIFEST_NAME)
    except ArtifactNotFound:
        return _with_splits(_read_left_behind(store, dataset), fold)
    files = read_frame(manifest, columns=["isic_id", "sha256"])
    return read_splits(store, dataset, fold=fold).merge(files, on="isic_id", validate="1:1")


def read_splits(store: Store, dataset: DatasetRef | StoreKey, *, fold: int | None = None) -> pd.DataFrame:
    """Return which split each image of a dataset is or was in: as ``read_image_list`` does, without sha256."""
    try:
        table = read_file(store, dataset, SPLITS_NAME)
    except ArtifactNotFound:
        return _with_splits(_read_left_behind(store, dataset), fold)
    return _with_splits(read_frame(table, columns=list(_COLUMNS)), fold)


def _with_splits(members: pd.DataFrame, fold: int | None) -> pd.DataFrame:
    """Return the members with the splits of a fold, where one is given."""
    if fold is None:
        return members
    if missing := set(_COLUMNS) - set(members):
        raise ArtifactNotFound(
            f"expected the list of a removed dataset's images to tell its folds, got one without "
            f"{', '.join(sorted(missing))}; restore the dataset",
            key="members",
        )
    return members.assign(split=splits_of_fold(members, fold))


def _read_left_behind(store: Store, dataset: DatasetRef | StoreKey) -> pd.DataFrame:
    folder = dataset.key if isinstance(dataset, DatasetRef) else dataset
    return read_frame(store.read(members_key(folder.removeprefix("datasets/"))))


def leave_image_list(store: Store, folder_key: StoreKey) -> None:
    """Write down which images a complete dataset has, before it is removed; raises as ``read_image_list`` does."""
    body = io.BytesIO()
    read_image_list(store, folder_key).to_parquet(body, index=False)
    store.write(members_key(folder_key.removeprefix("datasets/")), body.getvalue())
