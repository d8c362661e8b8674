"""A study that cannot do what is asked is refused before any work, in words that name the field."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from lesion_core.dataset.records import SPLITS_NAME
from lesion_core.errors import ConfigError
from lesion_core.recipes.recipe import Recipe, parse_recipe
from lesion_core.refs import DatasetRef
from lesion_core.search.study import StudySpec, plan_study, with_values
from lesion_core.stores.folders import publish, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.training.output_key import training_inputs
from lesion_core.training.plan import count_epochs
from lesion_core.training.spec import TrainJob
from tests.core.search.studies import SPACE, make_plan

RATE = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}


Plan = Callable[..., None]


@pytest.fixture
def plan(store: LocalStore) -> Plan:
    """Plan a study of a recipe with this space, on a dataset in ``store``."""

    def make(recipe: Recipe, dataset: DatasetRef, search: object, **spec: object) -> None:
        content = {**recipe.model_dump(), "search": search}
        plan_study(parse_recipe(content, source="test"), dataset, StudySpec.model_validate(spec), store)

    return make


SPACES: dict[str, tuple[object, str]] = {
    "none": (None, "has no search space"),
    "empty": ({}, "has no search space"),
    "unknown section": ({"optimizer.learning_rate": RATE}, "unknown field 'optimizer.learning_rate'.*optimisation"),
    "unknown field": ({"optimisation.rate": RATE}, "unknown field 'optimisation.rate'.*learning_rate"),
    "below a field": ({"dropout.rate": RATE}, "unknown field 'dropout.rate'"),
    "a section": ({"optimisation": RATE}, "'optimisation', which is a section"),
    "changes the dataset": (
        {"size_px": {"type": "int", "low": 32, "high": 64}},
        "'size_px': the dataset is prepared",
    ),
    "changes the colours": (
        {"colour_constancy": {"type": "choice", "choices": ["none", "shades-of-gray"]}},
        "may not vary 'colour_constancy'",
    ),
    "luck": ({"seed": {"type": "int", "low": 0, "high": 99}}, "may not vary 'seed': the luckiest seed"),
    "the gate": (
        {"gate.max_balanced_accuracy_drop": {"type": "float", "low": 0.0, "high": 0.1}},
        "may not vary 'gate.max_balanced_accuracy_drop': the gate is set before",
    ),
    "beyond the field's bounds": ({"dropout": {"type": "float", "low": 0.0, "high": 1.5}}, "dropout: .* less than 1"),
    "a fraction of an epoch": (
        {"optimisation.patience": {"type": "float", "low": 1, "high": 200}},
        "optimisation.patience: .*integer",
    ),
    "an unknown choice": (
        {"backbone": {"type": "choice", "choices": ["tiny", "resnet50"]}},
        "with backbone = 'resnet50' cannot be used: backbone",
    ),
    "a choice without weights": (
        {"weights": {"type": "choice", "choices": ["none", "imagenet"]}},
        "with weights = 'imagenet' .* 'tiny' has no ImageNet weights",
    ),
    "two that exclude each other": (
        {
            "imbalance.class_weight_power": {"type": "float", "low": 0.0, "high": 1.0},
            "imbalance.effective_number": {"type": "choice", "choices": [None, 0.999]},
        },
        "class_weight_power and effective_number",
    ),
    "without the recipe's own value": (
        {"optimisation.learning_rate": {**RATE, "low": 0.005}},
        "'optimisation.learning_rate' in recipe 'tiny' does not hold the recipe's own 0.001",
    ),
    "between the steps": (
        {"dropout": {"type": "float", "low": 0.0, "high": 0.4, "step": 0.08}},
        "'dropout' .* does not hold the recipe's own 0.1",
    ),
}


@pytest.mark.parametrize("case", SPACES)
def test_a_space_that_cannot_be_searched_is_refused(
    case: str, plan: Plan, make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef
) -> None:
    space, said = SPACES[case]
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        plan(make_recipe(optimisation={"epochs": 5}), dataset_ref, space)


@pytest.mark.parametrize(
    ("dimension", "said"),
    [
        ({"type": "float", "low": 2.0, "high": 1.0}, "low must be less than high"),
        ({"type": "float", "low": 0.0, "high": 1.0, "log": True}, "must lie above 0"),
        ({"type": "float", "low": 0.1, "high": 1.0, "log": True, "step": 0.1}, "log and step exclude"),
        ({"type": "int", "low": 1, "high": 8, "log": True, "step": 2}, "log and step exclude"),
        ({"type": "choice", "choices": ["a", "a"]}, "must differ"),
        ({"type": "choice", "choices": ["a"]}, "at least 2"),
        ({"type": "normal", "low": 1, "high": 8}, "does not match any of the expected tags"),
        ({"type": "float", "low": 0.0, "high": 1.0, "lgo": True}, "Extra inputs"),
    ],
)
def test_a_dimension_that_cannot_be_drawn_from_is_no_recipe(dimension: object, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"search\.dropout.*{said}"):
        parse_recipe({"name": "x", "search": {"dropout": dimension}}, source="x.yaml")


PRUNERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "two of three epochs": ({"epochs": 3}, {"min_epochs": 3}, "can never act.*3 epochs.*at least 3"),
    "hyperband too late": ({"epochs": 4}, {"pruner": "hyperband", "min_epochs": 4}, "can never act"),
    "waits for more than there are": ({"epochs": 5}, {"n_trials": 5, "startup_trials": 5}, "waits for 5 complete"),
}


@pytest.mark.parametrize("case", PRUNERS)
def test_a_pruner_that_could_never_act_is_refused(
    case: str, plan: Plan, make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef
) -> None:
    optimisation, spec, said = PRUNERS[case]
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        plan(make_recipe(optimisation=optimisation), dataset_ref, SPACE, **spec)
    plan(make_recipe(optimisation=optimisation), dataset_ref, SPACE, pruner="none")


def test_trials_of_different_length_are_not_pruned(
    plan: Plan, make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef
) -> None:
    space = {"optimisation.epochs": {"type": "int", "low": 2, "high": 6}}
    with pytest.raises(ConfigError, match=r"varies optimisation\.epochs"):
        plan(make_recipe(optimisation={"epochs": 5}), dataset_ref, space)
    plan(make_recipe(optimisation={"epochs": 5}), dataset_ref, space, pruner="none")


def test_a_dataset_of_another_size_is_refused(
    plan: Plan, make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef
) -> None:
    with pytest.raises(ConfigError, match=r"48 px.*has 32 px"):
        plan(make_recipe(size_px=48, optimisation={"epochs": 5}), dataset_ref, SPACE)


def test_a_fold_that_the_dataset_has_not_is_refused(
    plan: Plan, make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef
) -> None:
    recipe = make_recipe(optimisation={"epochs": 5})
    plan(recipe, dataset_ref, SPACE, fold=4)
    with pytest.raises(ConfigError, match="expected a fold from 0 to 4, got 5"):
        plan(recipe, dataset_ref, SPACE, fold=5)


def test_a_dataset_without_images_to_score_on_is_refused(
    make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef, store: LocalStore, tmp_path: Path
) -> None:
    splits = pd.read_parquet(io.BytesIO(read_file(store, dataset_ref, SPLITS_NAME)))
    folder, other = tmp_path / "dataset", LocalStore(tmp_path / "store")
    folder.mkdir()
    splits.replace({"split": {"validation": "train"}}).to_parquet(folder / SPLITS_NAME)
    _, sha256 = publish(other, dataset_ref.key, folder, step="prepare", step_version=1, inputs={}, summary={})
    unvalidated = dataset_ref.model_copy(update={"sha256": sha256})
    recipe = parse_recipe({**make_recipe(optimisation={"epochs": 9}).model_dump(), "search": SPACE}, source="test")
    with pytest.raises(ConfigError, match=r"expected validation images.* in the own splits of dataset noise/"):
        plan_study(recipe, unvalidated, StudySpec(), other)
    plan_study(recipe, unvalidated, StudySpec(fold=1), other)


def test_epochs_are_those_of_all_stages(make_recipe: Callable[..., Recipe]) -> None:
    staged = Recipe.model_validate({"name": "lite", "optimisation": {"epochs": 4, "head_epochs": 3}})
    assert count_epochs(staged) == 7
    assert count_epochs(make_recipe(optimisation={"epochs": 4, "head_epochs": 3})) == 4  # no pretrained weights


def test_a_space_changes_no_model(make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef) -> None:
    recipe = make_recipe()
    spaced = parse_recipe({**recipe.model_dump(), "search": SPACE}, source="test")
    one, other = (training_inputs(TrainJob(recipe=each, dataset=dataset_ref)) for each in (recipe, spaced))
    assert one == other


def test_values_change_what_they_name_and_nothing_else(make_recipe: Callable[..., Recipe]) -> None:
    recipe = parse_recipe({**make_recipe().model_dump(), "search": SPACE, "description": "x"}, source="test")
    changed = with_values(recipe, {"optimisation.learning_rate": 0.004, "dropout": 0.3})
    assert (changed.optimisation.learning_rate, changed.dropout, changed.search) == (0.004, 0.3, None)
    expected = recipe.model_dump(exclude={"search", "description"})
    expected["optimisation"]["learning_rate"], expected["dropout"] = 0.004, 0.3
    assert changed.model_dump(exclude={"search", "description"}) == expected


def test_a_study_is_named_by_all_but_its_length(make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef) -> None:
    recipe = make_recipe(optimisation={"epochs": 5})
    name = make_plan(recipe, dataset_ref).name
    assert make_plan(recipe, dataset_ref, n_trials=99, timeout_minutes=3).name == name
    assert make_plan(recipe, dataset_ref, seed=8).name != name
    assert make_plan(recipe, dataset_ref, fold=1).name != name
    assert make_plan(recipe.model_copy(update={"dropout": 0.2}), dataset_ref).name != name


def test_a_misspelt_setting_of_a_study_is_refused() -> None:
    with pytest.raises(ValidationError, match="n_trails"):
        StudySpec.model_validate({"n_trails": 3})
