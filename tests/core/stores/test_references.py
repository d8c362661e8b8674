"""References made from folders."""

from pathlib import Path

import pytest

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import (
    find_reference,
    get_reference,
    list_references,
    ref_from_folder,
    summary_of,
)

DATASET = DatasetRef(
    id="isic/00000000000d",
    key="datasets/isic/00000000000d",
    sha256="d" * 64,
    n_images=10,
    n_groups=8,
    size_px=64,
    licence="CC-BY",
    synthetic=True,
)
SUMMARY = {"recipe": "quick", "dataset": DATASET.model_dump(mode="json"), "fold": None, "synthetic": True}


def publish_model(store: LocalStore, folder: Path, digest: str, summary: dict[str, object]) -> ModelRef:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.json").write_text(digest)
    key = f"models/quick/{digest}"
    published = publish(store, key, folder, step="train", step_version=1, inputs={}, summary=summary)
    return ref_from_folder(ModelRef, key, *published)


def test_a_reference_carries_the_folders_own_facts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    model = publish_model(store, tmp_path / "source", "00000000000a", SUMMARY)
    assert model.id == "quick/00000000000a"
    assert model.key == "models/quick/00000000000a"
    assert model.dataset == DATASET
    assert summary_of(model) == SUMMARY
    assert find_reference(store, ModelRef, model.key) == model
    assert get_reference(store, ModelRef, "models", model.id) == model
    assert find_reference(store, ModelRef, "models/quick/00000000000f") is None


def test_references_are_listed_by_prefix(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    models = [publish_model(store, tmp_path / "source", f"00000000000{x}", SUMMARY) for x in "cab"]
    assert list(list_references(store, ModelRef, "models/quick/")) == sorted(models, key=lambda model: model.key)
    assert list(list_references(store, ModelRef, "models/other/")) == []


def test_an_unknown_id_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with pytest.raises(ArtifactNotFound, match="nothing stored yet"):
        get_reference(store, ModelRef, "models", "quick/00000000000f")
    publish_model(store, tmp_path / "source", "00000000000a", SUMMARY)
    with pytest.raises(ArtifactNotFound, match=r"quick/00000000000a.*got 'quick/00000000000f'"):
        get_reference(store, ModelRef, "models", "quick/00000000000f")


def test_a_folder_of_another_kind_is_no_model(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with pytest.raises(ArtifactCorrupt, match=r"ModelRef.*recipe, dataset, synthetic"):
        publish_model(store, tmp_path / "source", "00000000000a", {})
