"""Which dataset a recipe is for: the newest of the name, the size and the colours that it asks for."""

from pathlib import Path

import pytest

from lesion_core.dataset.lineage import find_newest
from lesion_core.errors import ArtifactNotFound
from lesion_core.keys import dataset_key, digest_of
from lesion_core.recipes.datasets import choose_dataset
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder


def keep(
    store: LocalStore, folder: Path, generation: int, size_px: int, colours: str, name: str = "skin"
) -> DatasetRef:
    """Store a dataset as far as it is looked at when one is chosen."""
    folder.mkdir(exist_ok=True)
    (folder / "manifest.parquet").write_bytes(b"")
    inputs = {"generation": generation, "options": {}, "size_px": size_px, "colours": colours}
    summary = {
        "n_images": 9, "n_groups": 9, "size_px": size_px, "colour_constancy": colours, "licence": "CC-BY",
        "synthetic": True,
    }  # fmt: skip
    key = dataset_key(name, digest_of(inputs))
    index, sha256 = publish(store, key, folder, step="prepare", step_version=1, inputs=inputs, summary=summary)
    return ref_from_folder(DatasetRef, key, index, sha256)


def recipe(**fields: object) -> Recipe:
    return Recipe.model_validate({"name": "r", "dataset": "skin", "backbone": "tiny", "weights": "none", **fields})


def test_it_is_the_newest_that_fits_and_not_the_newest_of_all(tmp_path: Path) -> None:
    store, folder = LocalStore(tmp_path / "store"), tmp_path / "made"
    keep(store, folder, 0, 64, "none")
    small = keep(store, folder, 1, 64, "none")
    grey = keep(store, folder, 2, 64, "shades-of-gray")
    large = keep(store, folder, 3, 96, "none")
    elsewhere = keep(store, folder, 4, 64, "none", name="other")
    newest = find_newest(store, "skin")
    assert newest is not None
    assert newest.ref == large
    assert choose_dataset(recipe(size_px=64), store) == small
    assert choose_dataset(recipe(size_px=96), store) == large
    assert choose_dataset(recipe(size_px=64, colour_constancy="shades-of-gray"), store) == grey
    assert choose_dataset(recipe(size_px=64), store, "other") == elsewhere
    with pytest.raises(
        ArtifactNotFound, match=r"'skin' with records of 80 px .* for recipe 'r' .*'prepare'"
    ) as caught:
        choose_dataset(recipe(size_px=80), store)
    assert caught.value.key == "datasets/skin"
