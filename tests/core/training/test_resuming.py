"""Where an interrupted training would go on, as its own checkpoints say."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.recipes.recipe import Recipe
from lesion_core.stores.local import LocalStore
from lesion_core.training.loop.checkpoints import Checkpoint, write_checkpoint
from lesion_core.training.loop.state import FitState
from lesion_core.training.plan import make_plan
from lesion_core.training.resuming import find_resume_point, member_checkpoints, training_scratch
from lesion_core.training.spec import TrainJob

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def job(dataset: OpenDataset, make_recipe: MakeRecipe) -> TrainJob:
    return TrainJob(recipe=make_recipe(ensemble_size=2, optimisation={"epochs": 4}), dataset=dataset.ref)


def _write(job: TrainJob, work: Path, member: int, state: FitState) -> None:
    facts = asdict(state)
    facts.pop("best_weights")
    checkpoint = Checkpoint({"state": facts, "stage": "all", "logs": [0, 0]}, {"model/0": np.zeros(3)})
    write_checkpoint(member_checkpoints(training_scratch(job, work), member), checkpoint)


def test_a_first_run_has_none(job: TrainJob, store: LocalStore, tmp_path: Path) -> None:
    assert find_resume_point(job, store, tmp_path) is None


def test_it_names_network_epoch_and_step(
    job: TrainJob, store: LocalStore, dataset: OpenDataset, tmp_path: Path
) -> None:
    plan = make_plan(job.recipe, dataset.split("train"))
    _write(job, tmp_path, 0, FitState(epoch=4, n_steps=plan.n_steps))
    first = find_resume_point(job, store, tmp_path)
    assert first is not None
    assert first.is_finished
    assert first.in_words().startswith("the end of network 1 of 2, epoch 4 of 4 ")
    _write(job, tmp_path, 1, FitState(epoch=2, batch=1, n_steps=2 * plan.steps_per_epoch + 1))
    second = find_resume_point(job, store, tmp_path)
    assert second is not None
    assert second.in_words() == (
        f"network 2 of 2, epoch 3 of 4 (step {2 * plan.steps_per_epoch + 1:,} of {plan.n_steps:,})"
    )


def test_another_recipe_does_not_go_on_from_it(
    job: TrainJob, store: LocalStore, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    _write(job, tmp_path, 0, FitState(epoch=1, n_steps=3))
    other = make_recipe(ensemble_size=2, seed=8, optimisation={"epochs": 4})
    assert find_resume_point(job.model_copy(update={"recipe": other}), store, tmp_path) is None


def test_a_training_that_stopped_early_is_finished(job: TrainJob, store: LocalStore, tmp_path: Path) -> None:
    _write(job, tmp_path, 0, FitState(epoch=2, n_steps=14, stopped=True))
    found = find_resume_point(job, store, tmp_path)
    assert found is not None
    assert (found.is_finished, found.epoch, found.step) == (True, 2, 14)
