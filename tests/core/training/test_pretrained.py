"""Weights by path or by key: named by their content, checked on arrival, refused in words."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from lesion_core.errors import ArtifactCorrupt, ConfigError
from lesion_core.recipes.recipe import Recipe
from lesion_core.stores.local import LocalStore
from lesion_core.training.pretrained import store_weights, weights_digest, with_local_weights

MakeRecipe = Callable[..., Recipe]
_MISSING = f"store:weights/{'a' * 64}/backbone.h5"


class _FarStore(LocalStore):
    """A store whose objects are no files of this machine."""

    root = None  # type: ignore[assignment]


@pytest.fixture(params=[LocalStore, _FarStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LocalStore:
    made: LocalStore = request.param(tmp_path / "store")
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "backbone.weights.h5"
    path.write_bytes(b"numbers" * 1000)
    return path


def test_a_stored_file_comes_back_verified(
    store: LocalStore, file: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    named = store_weights(store, file)
    assert store_weights(store, file) == named  # twice is once
    assert weights_digest(named) == weights_digest(str(file))
    recipe = make_recipe(weights=named)
    for _ in range(2):  # fetched, and there
        local = with_local_weights(recipe, store, tmp_path / "cache")
        assert Path(local.weights).read_bytes() == file.read_bytes()
        assert Path(local.weights).suffix == ".h5"
    assert local.model_copy(update={"weights": named}) == recipe


@pytest.mark.parametrize("weights", ["none", "some/path.h5"])
def test_other_weights_are_left_as_they_are(
    store: LocalStore, make_recipe: MakeRecipe, tmp_path: Path, weights: str
) -> None:
    recipe = make_recipe(weights=weights)
    assert with_local_weights(recipe, store, tmp_path) is recipe


def test_a_key_that_is_not_there_is_refused(store: LocalStore, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names weights store:weights/a+/backbone\.h5, which are not in"):
        with_local_weights(make_recipe(weights=_MISSING), store, tmp_path / "cache")


def test_another_content_under_the_key_is_refused(
    store: LocalStore, file: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    named = store_weights(store, file)
    store.write(named.removeprefix("store:"), b"other numbers")
    with pytest.raises(ArtifactCorrupt, match="put the file there again"):
        with_local_weights(make_recipe(weights=named), store, tmp_path / "cache")


def test_a_copy_that_was_damaged_is_fetched_again(file: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    store = _FarStore(tmp_path / "store")
    recipe = make_recipe(weights=store_weights(store, file))
    copy = Path(with_local_weights(recipe, store, tmp_path / "cache").weights)
    copy.write_bytes(b"damaged")
    assert Path(with_local_weights(recipe, store, tmp_path / "cache").weights).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("weights", ["store:", "store:weights/abc/a.h5", "store:../etc/passwd", _MISSING + "/../x"])
def test_a_key_of_another_form_is_no_recipe(make_recipe: MakeRecipe, weights: str) -> None:
    with pytest.raises(ValidationError, match="weights in the store are named"):
        make_recipe(weights=weights)


def test_a_path_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        weights_digest(str(tmp_path / "missing.h5"))
