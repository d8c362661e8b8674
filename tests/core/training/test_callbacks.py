"""Stopping, checkpoint times and news, on a clock that the test moves."""

import math
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from lesion_core.modeling.network.network import build_network
from lesion_core.progress import Progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.recipes.sections import Optimisation
from lesion_core.training.loop.callbacks import CheckpointTimer, Reporter
from lesion_core.training.loop.optimizer import AdamW
from lesion_core.training.loop.state import (
    FitState,
    note_score,
    pack,
    restore_model,
    restore_optimizer,
    smooth_score,
    unpack_state,
)


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def model(make_recipe: Callable[..., Recipe]) -> keras.Model:
    return build_network(make_recipe())


def test_the_best_epoch_is_kept_and_patience_ends(model: keras.Model) -> None:
    state, kept = FitState(), []
    for epoch, score in enumerate([0.3, 0.5, 0.4, 0.5, 0.45]):
        state.epoch = epoch
        model.weights[0].assign(np.full(model.weights[0].shape, epoch, np.float32))
        note_score(state, model, score, patience=3)
        kept.append((state.best_epoch, state.wait, state.stopped))
    assert kept == [(1, 0, False), (2, 0, False), (2, 1, False), (2, 2, False), (2, 3, True)]
    assert state.best_score == 0.5
    assert (state.best_weights[0] == 1).all()


def test_the_score_that_chooses_is_smoothed_within_its_stage() -> None:
    state = FitState(history=[{"stage": "head", "val_balanced_accuracy": 0.9}])
    assert smooth_score(state, "all", 0.4) == 0.4
    state.history += [{"stage": "all", "val_balanced_accuracy": value} for value in (0.1, 0.4, 0.5)]
    assert smooth_score(state, "all", 0.6) == pytest.approx(0.5)


def test_without_a_score_the_last_epoch_is_kept(model: keras.Model) -> None:
    state = FitState()
    for state.epoch in range(3):
        note_score(state, model, math.nan, patience=1)
    assert (state.best_epoch, state.stopped) == (3, False)


def _optimizer(model: keras.Model, precision: str = "float16") -> AdamW:
    """An optimizer with everything that one can have."""
    variables = model.trainable_variables
    return AdamW(variables, Optimisation(ema_decay=0.9), averaged=variables, has_loss_scale=precision == "float16")


def _values(model: keras.Model, optimizer: AdamW) -> list[np.ndarray]:
    return [np.array(variable) for variable in (*(v.value for v in model.variables), *optimizer.state)]


def test_a_packed_state_comes_back_with_its_random_generators(model: keras.Model) -> None:
    optimizer = _optimizer(model)
    state = FitState(epoch=2, batch=3, n_steps=11, loss_sum=1.25, wait=2, history=[{"epoch": 1, "stage": "all"}])
    note_score(state, model, 0.5, patience=2)
    state.wait = 1
    wanted = _values(model, optimizer)
    assert any("seed" in variable.path for variable in model.variables)
    assert len(optimizer.state) == 3 + 3 * len(model.trainable_variables)  # updates, two of the scale; three of each
    checkpoint = pack(state, model, optimizer, "all", {"steps.csv": 123})
    for variable in (*(v.value for v in model.variables), *optimizer.state):
        variable.assign(tf.ones_like(variable))
    restore_model(checkpoint, model)
    restore_optimizer(checkpoint, optimizer, "all")
    assert all(np.array_equal(one, other) for one, other in zip(wanted, _values(model, optimizer), strict=True))
    again = unpack_state(checkpoint)
    assert (again.epoch, again.batch, again.n_steps, again.loss_sum, again.wait) == (2, 3, 11, 1.25, 1)
    assert (again.best_score, again.history) == (0.5, state.history)
    assert all(np.array_equal(a, b) for a, b in zip(again.best_weights, state.best_weights, strict=True))
    assert checkpoint.facts["logs"] == {"steps.csv": 123}


def test_patience_goes_on_counting_after_a_checkpoint(model: keras.Model) -> None:
    state = FitState()
    note_score(state, model, 0.5, patience=3)
    for _ in range(2):
        note_score(state, model, 0.4, patience=3)
    again = unpack_state(pack(state, model, _optimizer(model), "all", {}))
    assert not again.stopped
    note_score(again, model, 0.5, patience=3)  # no better than the best before the checkpoint
    assert again.stopped


def test_a_new_stage_does_not_inherit_the_optimizer(model: keras.Model) -> None:
    optimizer = _optimizer(model)
    checkpoint = pack(FitState(), model, optimizer, "head", {})
    optimizer.state[0].assign(99)
    restore_optimizer(checkpoint, optimizer, "all")
    assert int(optimizer.state[0]) == 99


def test_slow_checkpoints_are_made_less_often() -> None:
    clock = _Clock()
    timer = CheckpointTimer(interval_seconds=10, clock=clock)
    assert not timer.is_due(0)
    clock.advance(10)
    assert timer.is_due(0)
    timer.time_of(lambda: clock.advance(1.0), 0)  # a second for a checkpoint: once in 50 is enough
    clock.advance(49)
    assert not timer.is_due(0)
    clock.advance(1)
    assert timer.is_due(0)


def test_a_number_of_steps_between_checkpoints_is_kept_to() -> None:
    clock = _Clock()
    timer = CheckpointTimer(interval_seconds=1e9, interval_steps=5, clock=clock)
    due = []
    for step in range(1, 13):
        if timer.is_due(step):
            due.append(step)
            timer.time_of(lambda: clock.advance(100.0), step)  # however long one takes
    assert due == [5, 10]


def test_news_come_at_most_every_two_seconds_and_when_forced() -> None:
    clock, heard = _Clock(), list[Progress]()
    reporter = Reporter(heard.append, n_steps=20, n_epochs=2, batch_size=16, clock=clock)
    state = FitState(batch=4, n_steps=4, loss_sum=8.0, seconds=2.0, waiting_seconds=0.5)
    reporter.tell(state)
    clock.advance(1.9)
    reporter.tell(state)
    assert len(heard) == 1
    reporter.tell(state, force=True)
    clock.advance(2.0)
    state.history = [{"epoch": 1, "loss": 3.0, "val_balanced_accuracy": 0.25, "selection_score": 0.2}]
    reporter.tell(state)
    assert len(heard) == 3
    assert (heard[0].stage, heard[0].done, heard[0].total, heard[0].message) == ("training", 4, 20, "epoch 1/2")
    assert heard[0].metrics == {
        "loss": 2.0, "steps_per_second": 2.0, "images_per_second": 32.0, "waiting_share": 0.25, "eta_seconds": 8.0,
    }  # fmt: skip
    assert heard[-1].metrics["val_balanced_accuracy"] == 0.25
