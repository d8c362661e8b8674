"""Which dataset a flow works on."""

from pathlib import Path

import pytest

from lesion_core.errors import ArtifactNotFound
from lesion_core.keys import dataset_key, digest_of
from lesion_core.recipes.recipe import Recipe
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from tasks.dataset import find_dataset, find_dataset_for


def test_a_recipe_gets_the_newest_dataset_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, folder = LocalStore(tmp_path / "store"), tmp_path / "made"
    folder.mkdir()
    (folder / "manifest.parquet").write_bytes(b"")
    for generation, size_px in enumerate((64, 96)):
        inputs = {"generation": generation, "options": {}}
        summary = {"n_images": 9, "n_groups": 9, "size_px": size_px, "licence": "CC-BY", "synthetic": True}
        key = dataset_key("skin", digest_of(inputs))
        publish(store, key, folder, step="prepare", step_version=1, inputs=inputs, summary=summary)
    monkeypatch.setenv("LESION_STORE", str(tmp_path / "store"))

    recipe = Recipe.model_validate(
        {"name": "r", "dataset": "skin", "size_px": 64, "backbone": "tiny", "weights": "none"}
    )
    assert find_dataset.fn("skin").size_px == 96
    assert find_dataset_for.fn(recipe).size_px == 64
    assert find_dataset_for.fn(recipe.model_copy(update={"dataset": "other"}), "skin").size_px == 64
    with pytest.raises(ArtifactNotFound, match=r"'skin' with records of 80 px .*run the flow 'prepare'"):
        find_dataset_for.fn(recipe.model_copy(update={"size_px": 80}))
