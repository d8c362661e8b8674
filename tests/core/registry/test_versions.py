"""Finding model versions."""

from pathlib import Path

import pytest

from lesion_core.errors import ArtifactNotFound
from lesion_core.keys import index_key
from lesion_core.registry.versions import get_model, list_models
from lesion_core.stores.protocol import Store
from tests.core.registry.conftest import make_model


def test_every_complete_version_is_listed(store: Store, tmp_path: Path) -> None:
    assert list_models(store) == []
    second, first = make_model(store, tmp_path, "b"), make_model(store, tmp_path, "a")
    other = make_model(store, tmp_path, "a", recipe="quick-2")
    half = make_model(store, tmp_path, "c")
    store.remove(index_key(half.key))
    assert list_models(store) == sorted([first, second, other], key=lambda model: model.key)
    assert list_models(store, "quick") == [first, second]


def test_a_version_is_found_by_its_id(store: Store, tmp_path: Path) -> None:
    model = make_model(store, tmp_path, "a")
    assert get_model(store, "quick/00000000000a") == model


def test_an_unknown_version_is_answered_with_the_known_ones(store: Store, tmp_path: Path) -> None:
    make_model(store, tmp_path, "a")
    with pytest.raises(ArtifactNotFound, match="quick/00000000000a") as caught:
        get_model(store, "quick/00000000000f")
    assert "quick/00000000000f" in str(caught.value)
