"""What a request means: which recipes, under which names, and what is refused."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from benchmarks.ingredients import what_changed
from lesion_core.comparison.crossing import cross, recipes_of, vary
from lesion_core.comparison.spec import CompareRequest, choose_request
from lesion_core.errors import ConfigError
from lesion_core.recipes.recipe import Recipe
from tests.conftest import ROOT

BASE = Recipe(name="base", description="Scored 0.7.", backbone="tiny", weights="none", fusion="concat")
COMPARISONS = sorted((ROOT / "deployments/comparisons").glob("*.yaml"))


def test_axes_are_crossed_the_last_one_changing_first() -> None:
    recipes = cross(BASE, {"fusion": ["none", "concat"], "optimisation.ema_decay": [None, 0.99]})
    assert [recipe.name for recipe in recipes] == [
        "base-fusion-none-ema-decay-none",
        "base-fusion-none-ema-decay-0-99",
        "base",
        "base-fusion-concat-ema-decay-0-99",
    ]
    assert [(recipe.fusion, recipe.optimisation.ema_decay) for recipe in recipes] == [
        ("none", None),
        ("none", 0.99),
        ("concat", None),
        ("concat", 0.99),
    ]
    assert recipes[2] is BASE  # and so its stored models are found
    assert recipes[1].description == "base with fusion = none, optimisation.ema_decay = 0.99"


def test_axes_changed_one_at_a_time_leave_the_others_as_in_the_base() -> None:
    axes = {"fusion": ["none", "concat"], "optimisation.ema_decay": [0.9, 0.99], "test_time_augmentation": [4]}
    recipes = vary(BASE, axes)
    assert recipes[0] is BASE
    changed = {"base-fusion-none", "base-ema-decay-0-9", "base-ema-decay-0-99", "base-test-time-augmentation-4"}
    assert {recipe.name for recipe in recipes[1:]} == changed
    for recipe in recipes[1:]:
        differs = [
            recipe.fusion != BASE.fusion,
            recipe.optimisation != BASE.optimisation,
            recipe.test_time_augmentation != BASE.test_time_augmentation,
        ]
        assert sum(differs) == 1
    named = [what_changed(recipe.name, recipe.description) for recipe in recipes]
    assert named[:3] == ["nothing: base", "fusion = none", "optimisation.ema_decay = 0.9"]
    request = CompareRequest(name="x", base=BASE, axes={"test_time_augmentation": (1, 8)}, one_at_a_time=True)
    assert [recipe.test_time_augmentation for recipe in recipes_of(request, ROOT)] == [1, 8]


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"fussion": ["none"]}, "got 'fussion'; at 'fussion' there is: name"),
        ({"optimisation.epoch": [1]}, "at 'epoch' there is: epochs"),
        ({"seed.deeper": [1]}, "nothing below it"),
        ({"fusion": ["sum"]}, "fusion"),
        ({"name": ["other"]}, "got 'name'"),
        ({"optimisation.learning_rate": [1e-7], "optimisation.head_learning_rate": [1e-7]}, "at most 63 characters"),
    ],
)
def test_an_axis_that_cannot_be_meant_is_refused_in_words(axes: dict[str, list[object]], sentence: str) -> None:
    base = BASE.model_copy(update={"name": "a-rather-long-name-for-a-recipe"})
    with pytest.raises(ConfigError) as caught:
        cross(base, axes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"recipes": []}, "give either 'recipes', or 'base'"),
        ({"base": "isic-cpu", "axes": {"seed": [1]}}, "give either 'recipes', or 'base'"),
        ({"axes": {"fusion": ["none"]}}, "give both or neither"),
        ({"one_at_a_time": True}, "about the axes of a base"),
        ({"folds": [1, 1]}, "named twice"),
        ({"folds": [-1]}, "counted from 0"),
        ({"again": True}, "wants a reason"),
        ({"again": True, "reason": "  "}, "wants a reason"),
        ({"split": "train"}, "split"),
        ({"fold": [1]}, "fold"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        CompareRequest.model_validate({"name": "x", "recipes": ["isic-cpu"], **changes})


def test_names_are_reported_apart_and_a_baseline_is_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(BASE.model_dump(mode="json")))
    twice = CompareRequest(name="x", recipes=("mine", BASE.model_copy(update={"seed": 8})))
    with pytest.raises(ConfigError, match="several called base"):
        recipes_of(twice, tmp_path)
    with pytest.raises(ConfigError, match="a baseline of base, got 'bass'"):
        recipes_of(CompareRequest(name="x", recipes=("mine",), baseline="bass"), tmp_path)
    assert recipes_of(CompareRequest(name="x", recipes=(str(tmp_path / "mine.yaml"),)), tmp_path) == (BASE,)


def test_a_comparison_is_chosen_by_name_path_or_value(tmp_path: Path) -> None:
    request = CompareRequest(name="x", recipes=("isic-cpu",))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(request.model_dump(mode="json")))
    assert choose_request(request, tmp_path) is request
    assert choose_request("mine", tmp_path) == choose_request(str(tmp_path / "mine.yaml"), tmp_path) == request
    with pytest.raises(ConfigError, match=r"expected the name of a comparison in .* \(mine\)"):
        choose_request("yours", tmp_path)
    (tmp_path / "bad.yaml").write_text("name: x\nrecipes: [a]\nfoldz: [1]")
    with pytest.raises(ConfigError, match="foldz"):
        choose_request("bad", tmp_path)
    (tmp_path / "bad.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match="expected YAML"):
        choose_request("bad", tmp_path)


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
def test_every_comparison_that_is_shipped_can_be_run(path: Path) -> None:
    request = choose_request(path.stem, path.parent)
    assert request.name == path.stem
    assert len(recipes_of(request, ROOT / "deployments/recipes")) > 1
