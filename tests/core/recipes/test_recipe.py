"""Recipes: read by name or path, refused with the field's name."""

from pathlib import Path

import numpy as np
import pytest

from lesion_core.errors import ConfigError
from lesion_core.recipes.former_names import with_former_names, with_present_names
from lesion_core.recipes.recipe import Recipe, choose_recipe, parse_recipe, read_recipe
from tests.conftest import ROOT

RECIPES = sorted((ROOT / "deployments" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_in_the_folder_is_valid_and_named_after_its_file(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description


def test_a_misspelt_field_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"optimisation\.epoch: Extra inputs.*Known fields: .*backbone"):
        parse_recipe({"name": "a", "optimisation": {"epoch": 3}}, source="a.yaml")


def test_a_value_out_of_bounds_is_named() -> None:
    with pytest.raises(ConfigError, match=r"size_px.*greater than or equal to 32"):
        parse_recipe({"name": "a", "size_px": 8}, source="a.yaml")


def test_augmentation_is_switched_off_by_a_word() -> None:
    off = parse_recipe({"name": "a", "augmentation": "none"}, source="a.yaml").augmentation
    assert not any(off.model_dump().values())
    with pytest.raises(ConfigError, match="augmentation"):
        parse_recipe({"name": "a", "augmentation": "some"}, source="a.yaml")


def test_a_setting_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"focal_gamma 3 belongs to loss 'focal', got 'cross-entropy'"):
        parse_recipe({"name": "a", "imbalance": {"focal_gamma": 3}}, source="a.yaml")
    parse_recipe({"name": "a", "imbalance": {"loss": "focal", "focal_gamma": 3}}, source="a.yaml")


def test_a_seed_leaves_room_for_every_member() -> None:
    last = parse_recipe({"name": "a", "ensemble_size": 10, "seed": 2**32 - 10}, source="a.yaml").member(9)
    np.random.default_rng(last.seed)
    np.random.RandomState(last.seed)  # what Keras seeds with; one more is refused
    with pytest.raises(ConfigError, match="seed: Input should be less than or equal to"):
        parse_recipe({"name": "a", "seed": 2**32 - 9}, source="a.yaml")


def test_weights_that_do_not_exist_are_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="'tiny' has no ImageNet weights"):
        parse_recipe({"name": "a", "backbone": "tiny"}, source="a.yaml")


@pytest.mark.parametrize(("text", "problem"), [("name: [", "YAML"), ("- a", "dictionary"), ("", "dictionary")])
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_recipe(path)


def test_a_missing_file_says_where_recipes_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*deployments/recipes"):
        read_recipe(tmp_path / "none.yaml")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "isic-quick.yaml").write_text("name: isic-quick")
    with pytest.raises(ConfigError, match=r"isic-quick.*got 'isic-quik'"):
        choose_recipe("isic-quik", tmp_path)
    assert choose_recipe("isic-quick", tmp_path).name == "isic-quick"
    assert choose_recipe(Recipe(name="own"), tmp_path).name == "own"


def test_former_names_of_fields_are_read_with_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    former = {"name": "a", "views": 4, "members": 2, "optimisation": {"backup_seconds": 7, "backup_steps": 3}}
    recipe = parse_recipe(former, source="a.yaml")
    assert (recipe.test_time_augmentation, recipe.ensemble_size) == (4, 2)
    assert (recipe.optimisation.checkpoint_seconds, recipe.optimisation.checkpoint_steps) == (7, 3)
    assert len(caplog.records) == 4
    assert "recipe a.yaml: 'views' is now called 'test_time_augmentation'" in caplog.text
    assert "'optimisation.backup_steps' is now called 'optimisation.checkpoint_steps'" in caplog.text


def test_a_field_under_both_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 'ensemble_size' once, got it as 'members' as well"):
        parse_recipe({"name": "a", "ensemble_size": 2, "members": 2}, source="a.yaml")


def test_keys_count_a_field_by_its_first_name() -> None:
    """So that renaming it makes no new version of a model that is stored."""
    content = Recipe(name="a", test_time_augmentation=8).model_dump(mode="json")
    former = with_former_names(content)
    assert former["views"] == 8
    assert former["optimisation"]["backup_seconds"] == 30
    assert not {"test_time_augmentation", "ensemble_size"} & set(former)
    assert with_present_names(former) == content
