"""Epochs, steps and rates are known before a training starts."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lesion_core.errors import ConfigError
from lesion_core.recipes.recipe import Recipe
from lesion_core.training.plan import make_plan

MakeRecipe = Callable[..., Recipe]


def _rows(n_images: int, n_classes: int = 8) -> pd.DataFrame:
    return pd.DataFrame({"class_index": np.arange(n_images) % n_classes})


def test_a_warm_up_stage_comes_first_where_there_are_weights_to_spare(make_recipe: MakeRecipe) -> None:
    staged = make_recipe(
        backbone="efficientnet-lite0", weights="imagenet", optimisation={"head_epochs": 3, "epochs": 4}
    )
    plan = make_plan(staged, _rows(70))
    assert [(stage.name, stage.first, stage.end) for stage in plan.stages] == [("head", 0, 3), ("all", 3, 7)]
    assert (plan.steps_per_epoch, plan.n_epochs, plan.n_steps) == (4, 7, 28)


def test_random_weights_have_no_frozen_stage(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(optimisation={"head_epochs": 3, "epochs": 4})
    plan = make_plan(recipe, _rows(70))
    assert [stage.name for stage in plan.stages] == ["all"]
    assert plan.n_steps == 16
    tuning = make_plan(recipe, _rows(70), is_tuning=True)  # the weights are another model's, whatever it began with
    assert [stage.name for stage in tuning.stages] == ["head", "all"]


def test_layers_are_not_kept_at_random_weights(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(optimisation={"unfreeze": 0.5})
    with pytest.raises(ConfigError, match=r"unfreeze 0\.5 and weights 'none': .* set unfreeze to 1"):
        make_plan(recipe, _rows(70))
    assert make_plan(recipe, _rows(70), is_tuning=True).n_epochs > 0


def test_the_rate_rises_then_falls_to_nothing(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(optimisation={"epochs": 5, "learning_rate": 0.01, "warmup_share": 0.2})
    plan = make_plan(recipe, _rows(160))
    stage = plan.stages[0]
    rates = [plan.learning_rate(stage, epoch, batch) for epoch in range(5) for batch in range(10)]
    assert rates[:11] == pytest.approx([0.001 * (i + 1) for i in range(10)] + [0.01])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[30] == pytest.approx(0.005)  # half way down
    assert 0 < rates[-1] < 1e-4


def test_a_batch_larger_than_the_split_is_refused_by_name(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ConfigError, match="batches of 64 images, but the training split has 63"):
        make_plan(make_recipe(optimisation={"batch_size": 64}), _rows(63))


def test_a_class_without_a_training_image_is_refused_by_name_unless_it_is_allowed(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ConfigError, match=r"none of VASC, SCC; .* or set allow_absent_classes"):
        make_plan(make_recipe(allow_absent_classes=False), _rows(60, n_classes=6))
    assert make_plan(make_recipe(allow_absent_classes=True), _rows(60, n_classes=6)).n_epochs == 2
    assert make_plan(make_recipe(allow_absent_classes=False), _rows(60)).n_epochs == 2
