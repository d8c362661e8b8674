"""Training in this process: a step learns, the best epoch is kept, an interruption changes nothing."""

import contextlib
import math
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ConfigError, TrainingDiverged, TrainingError
from lesion_core.labels import N_CLASSES
from lesion_core.modeling.feed.input import TrainingFeed, evaluation_batches, model_inputs
from lesion_core.modeling.feed.losses import AdjustedCrossEntropy
from lesion_core.modeling.network.network import build_network
from lesion_core.progress import Progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.statistics.metrics import balanced_accuracy
from lesion_core.training.loop.checkpoints import is_finite, read_checkpoint
from lesion_core.training.loop.features import FeatureFeed, make_head, pool_features
from lesion_core.training.loop.fit import fit
from lesion_core.training.loop.logs import STEPS_FILE
from lesion_core.training.loop.state import restore_model, unpack_state
from lesion_core.training.loop.step import make_logits, make_trainer

MakeRecipe = Callable[..., Recipe]


def _network(recipe: Recipe) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    return build_network(recipe)


def _weights(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight).copy() for weight in model.weights]


def _score(model: keras.Model, dataset: OpenDataset) -> float:
    rows = dataset.split("validation")
    logits = make_logits(model)(evaluation_batches(dataset, rows, 16))
    return balanced_accuracy(rows["class_index"].to_numpy(), logits.argmax(axis=1))


def test_one_step_moves_every_weight_and_lowers_the_loss(dataset: OpenDataset, make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(dropout=0.0, metadata_dropout=0.0)
    model = _network(recipe)
    trainer = make_trainer(model, recipe, AdjustedCrossEntropy(np.zeros(N_CLASSES), 0.0))
    inputs, targets = next(iter(TrainingFeed(dataset, dataset.split("train"), recipe).batches(0)))
    before = [np.asarray(variable).copy() for variable in model.trainable_variables]
    first = float(trainer.step(inputs, targets, 1e-3))
    assert first == pytest.approx(math.log(N_CLASSES), abs=0.3)  # an untrained network knows nothing
    after = [np.asarray(variable) for variable in model.trainable_variables]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(moved)
    assert [float(trainer.step(inputs, targets, 1e-3)) for _ in range(10)][-1] < first


def test_it_learns_and_keeps_the_best_epoch(dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(optimisation={"epochs": 8, "learning_rate": 0.01})
    model = _network(recipe)
    heard: list[Progress] = []
    result = fit(model, recipe, dataset, checkpoints=tmp_path, on_progress=heard.append)
    scores = [float(row["val_balanced_accuracy"]) for row in result.history]
    smooth = [float(np.mean(scores[max(0, i - 2) : i + 1])) for i in range(8)]
    assert [row["selection_score"] for row in result.history] == pytest.approx(smooth)
    assert result.best_score == pytest.approx(max(smooth))
    assert result.best_score > 0.6  # five classes: chance is 0.2
    assert result.best_epoch == int(np.argmax(smooth)) + 1
    assert _score(model, dataset) == pytest.approx(scores[result.best_epoch - 1])
    n_batches = len(dataset.split("train")) // 16
    assert result.n_steps == 8 * n_batches == result.history[-1]["step"]
    assert [row["epoch"] for row in result.history] == list(range(1, 9))
    assert float(result.history[-1]["loss"]) < float(result.history[0]["loss"])
    assert heard[-1].done == heard[-1].total == result.n_steps
    assert "val_balanced_accuracy" in heard[-1].metrics


@pytest.fixture
def weights_file(make_recipe: MakeRecipe, tmp_path: Path) -> str:
    """A file of backbone weights that stands for pretrained ones, so that the frozen stage takes place."""
    path = tmp_path / "backbone.weights.h5"
    with warnings.catch_warnings():
        # Keras 3.15 saves variables through a NumPy call that NumPy 2 warns about.
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        _network(make_recipe()).get_layer("backbone").save_weights(path)
    return str(path)


_STEPS = ("head training", "training")  # the stages that count steps


class _Interrupted(Exception):
    pass


def test_interruptions_in_the_middle_of_an_epoch_change_nothing(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, weights_file: str
) -> None:
    """Twice in one training: six steps an epoch; two epochs of the head, two of all layers."""
    recipe = make_recipe(
        weights=weights_file,
        optimisation={"head_epochs": 2, "epochs": 2, "checkpoint_seconds": 1e-6, "batch_size": 16},
    )
    whole = _network(recipe)
    wanted = fit(whole, recipe, dataset, checkpoints=tmp_path / "whole")
    assert wanted.n_steps == 24

    began: list[int] = []
    for stop_at in (3, 15):
        steps: list[int] = []

        def interrupt(progress: Progress, stop_at: int = stop_at, steps: list[int] = steps) -> None:
            if progress.stage in _STEPS:
                steps.append(progress.done)
                if progress.done >= stop_at:
                    raise _Interrupted

        with pytest.raises(_Interrupted):
            _fit_talkative(_network(recipe), recipe, dataset, tmp_path / "broken", interrupt)
        began.append(steps[0])
    resumed = _network(recipe)
    heard: list[Progress] = []
    found = fit(resumed, recipe, dataset, checkpoints=tmp_path / "broken", on_progress=heard.append)
    last = next(news.done for news in heard if news.stage in _STEPS)
    assert [began[1], last] == [2, 14]  # what was checkpointed before the step that was interrupted
    assert found.n_steps == wanted.n_steps
    assert [row["loss"] for row in found.history] == pytest.approx([row["loss"] for row in wanted.history], rel=1e-4)
    for one, other in zip(_weights(whole), _weights(resumed), strict=True):
        assert np.allclose(one, other, atol=1e-4)


def _fit_talkative(
    model: keras.Model, recipe: Recipe, dataset: OpenDataset, checkpoints: Path, listen: Callable[[Progress], None]
) -> None:
    """Train with news of every step and a checkpoint after every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lesion_core.training.loop.callbacks._NEWS_SECONDS", 0.0)
        patch.setattr("lesion_core.training.loop.callbacks._LARGEST_CHECKPOINT_SHARE", 1e9)
        fit(model, recipe, dataset, checkpoints=checkpoints, on_progress=listen)


def test_patience_ends_a_training_that_gets_no_better(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    # A rate this small moves no prediction, so the first epoch stays the best.
    recipe = make_recipe(optimisation={"epochs": 9, "learning_rate": 1e-12, "patience": 2})
    result = fit(_network(recipe), recipe, dataset, checkpoints=tmp_path)
    assert result.is_stopped_early
    assert len(result.history) == result.best_epoch + 2


def test_without_validation_images_the_last_epoch_is_kept(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, weights_file: str
) -> None:
    rows = dataset.rows[dataset.rows["split"] != "validation"]
    recipe = make_recipe(weights=weights_file, optimisation={"head_epochs": 1, "epochs": 2})
    result = fit(_network(recipe), recipe, replace(dataset, rows=rows), checkpoints=tmp_path)
    assert result.best_epoch == 3
    assert math.isnan(result.best_score)


def test_a_loss_that_is_no_number_ends_at_once(dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    spoiled = replace(dataset, rows=dataset.rows.assign(age_years=np.float32(np.inf)))
    recipe = make_recipe(metadata_dropout=0.0)
    with pytest.raises(TrainingDiverged, match=r"lower optimisation\.learning_rate") as caught:
        fit(_network(recipe), recipe, spoiled, checkpoints=tmp_path)
    assert caught.value.epoch == 1


def test_validation_that_is_no_number_ends_at_once(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    is_validation = dataset.rows["split"] == "validation"
    spoiled = dataset.rows.assign(age_years=dataset.rows["age_years"].mask(is_validation, np.inf).astype(np.float32))
    with pytest.raises(TrainingDiverged, match="expected finite logits on validation, got"):
        fit(_network(make_recipe()), make_recipe(), replace(dataset, rows=spoiled), checkpoints=tmp_path)


def test_a_class_without_an_image_is_reported(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Progress] = []
    recipe = make_recipe(optimisation={"epochs": 1})
    result = fit(_network(recipe), recipe, dataset, checkpoints=tmp_path, on_progress=heard.append)
    assert "no training image of AK, VASC, SCC" in [progress.message for progress in heard]
    assert "the model will never name them" in caplog.text
    assert 0 <= float(result.history[0]["waiting_share"]) <= 1
    strict = make_recipe(allow_absent_classes=False)
    with pytest.raises(ConfigError, match="none of AK, VASC, SCC"):
        fit(_network(strict), strict, dataset, checkpoints=tmp_path / "none")


def test_averages_are_what_is_validated_chosen_from_and_kept(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(optimisation={"epochs": 2, "learning_rate": 0.01, "ema_decay": 0.9, "patience": 1})
    model = _network(recipe)
    result = fit(model, recipe, dataset, checkpoints=tmp_path)
    score = float(result.history[result.best_epoch - 1]["val_balanced_accuracy"])
    assert _score(model, dataset) == pytest.approx(score)
    raw = _network(recipe)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint is not None
    restore_model(checkpoint, raw)  # what trains on
    assert any(not np.allclose(a, b, atol=1e-5) for a, b in zip(_weights(raw), _weights(model), strict=True))


def test_a_full_disk_ends_with_a_sentence_and_the_rerun_goes_on_from_the_last_good_checkpoint(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """A real refusal by the operating system: the first epoch's best weights make the checkpoint outgrow it."""
    recipe = make_recipe(optimisation={"epochs": 2, "checkpoint_steps": 2})
    n_bytes: list[int] = []

    def measure(progress: Progress) -> None:
        n_bytes.extend(path.stat().st_size for path in tmp_path.glob("00000001.checkpoint"))
        if n_bytes:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        _fit_talkative(_network(recipe), recipe, dataset, tmp_path, measure)
    with _file_size_limit(int(n_bytes[0] * 1.1)), pytest.raises(TrainingError, match="free some space"):
        fit(_network(recipe), recipe, dataset, checkpoints=tmp_path)
    kept = read_checkpoint(tmp_path)
    assert kept is not None
    assert kept.facts["state"]["n_steps"] == 6
    heard: list[Progress] = []
    assert fit(_network(recipe), recipe, dataset, checkpoints=tmp_path, on_progress=heard.append).n_steps == 12
    assert heard[0].done == 6
    assert pd.read_csv(tmp_path / "logs" / STEPS_FILE)["step"].tolist() == list(range(1, 13))


@contextlib.contextmanager
def _file_size_limit(n_bytes: int) -> Iterator[None]:
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    "refusal", [tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), MemoryError()]
)
def test_too_little_memory_is_said_with_what_to_lower(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def refuse(*_: object) -> Iterator[object]:
        raise refusal

    monkeypatch.setattr("lesion_core.training.loop.stages.TrainingFeed.batches", refuse)
    with pytest.raises(TrainingError, match=r"needs more memory .* lower optimisation\.batch_size or size_px"):
        fit(_network(make_recipe()), make_recipe(), dataset, checkpoints=tmp_path)


def test_weights_that_are_no_numbers_never_take_the_place_of_a_good_checkpoint(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step's loss may be finite and its update not: only the loss after it would tell."""
    recipe = make_recipe(optimisation={"epochs": 2, "batch_size": 16, "checkpoint_steps": 1})
    model = _network(recipe)

    def spoil(progress: Progress) -> None:
        if progress.done >= 3:
            model.weights[0].assign(np.full(model.weights[0].shape, np.nan, np.float32))

    monkeypatch.setattr("lesion_core.training.loop.callbacks.Reporter.is_due", lambda self: True)
    with pytest.raises(TrainingDiverged, match="expected finite weights, got nan in epoch"):
        fit(model, recipe, dataset, checkpoints=tmp_path, on_progress=spoil)
    kept = read_checkpoint(tmp_path)
    assert kept is not None
    assert is_finite(kept)
    assert unpack_state(kept).n_steps == 2


def test_the_frozen_stage_is_validated_in_batches(dataset: OpenDataset, make_recipe: MakeRecipe) -> None:
    """The head spreads features to maps: all images at once would need memory that no batch size could lower."""
    recipe = make_recipe(optimisation={"batch_size": 7})
    rows = dataset.split("validation")
    feed = FeatureFeed(pool_features(_network(recipe), dataset, rows, 8), rows, recipe)
    parts = list(feed.inputs_in_order())
    assert {len(part["age_years"]) for part in parts[:-1]} == {7}
    for name, values in feed.inputs(np.arange(len(rows))).items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)


def test_a_batch_larger_than_the_split_is_refused_before_any_work(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(optimisation={"batch_size": 4096})
    with pytest.raises(ConfigError, match="batches of 4096"):
        fit(_network(recipe), recipe, dataset, checkpoints=tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("fusion", ["additive", "concat", "film", "metablock", "none"])
def test_pooled_features_give_the_very_logits_of_the_network(
    dataset: OpenDataset, make_recipe: MakeRecipe, fusion: str
) -> None:
    recipe = make_recipe(fusion=fusion)
    model = _network(recipe)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "moving" not in weight.path:
            weight.assign(np.asarray(weight) + rng.normal(0, 0.2, weight.shape).astype(np.float32))
    rows = dataset.split("validation")
    feed = FeatureFeed(pool_features(model, dataset, rows, 8), rows, recipe)
    short = make_head(model)
    expected = model(model_inputs(dataset, rows), training=False)["logits"]
    found = short(feed.inputs(np.arange(len(rows))), training=False)["logits"]
    assert np.abs(np.asarray(expected)).max() > 0.5
    assert np.allclose(np.asarray(found), np.asarray(expected), atol=1e-5)
    assert {id(variable) for variable in short.variables} <= {id(variable) for variable in model.variables}


def test_the_warm_up_moves_the_head_and_nothing_else(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, weights_file: str
) -> None:
    still = {"head_epochs": 12, "epochs": 1, "learning_rate": 1e-12}
    recipe = make_recipe(weights=weights_file, optimisation=still)
    model = _network(recipe)
    before = _weights(model.get_layer("backbone"))
    result = fit(model, recipe, dataset, checkpoints=tmp_path / "checkpoint")
    assert [row["stage"] for row in result.history] == ["head"] * 12 + ["all"]
    assert float(result.history[11]["loss"]) < 0.95 * float(result.history[0]["loss"])
    assert result.best_epoch == 13  # the warm-up itself is no candidate
    for one, other in zip(_weights(model.get_layer("backbone")), before, strict=True):
        assert np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(("batch_norm", "is_kept"), [("frozen", True), ("training", False)])
def test_normalisation_keeps_pretrained_statistics_or_learns_new_ones(
    dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, weights_file: str, batch_norm: str, is_kept: bool
) -> None:
    recipe = make_recipe(weights=weights_file, optimisation={"epochs": 1, "batch_norm": batch_norm})
    model = _network(recipe)
    backbone = model.get_layer("backbone")
    before = [np.asarray(weight).copy() for weight in backbone.weights]
    fit(model, recipe, dataset, checkpoints=tmp_path / "checkpoint")
    moved = {
        weight.path: not np.array_equal(np.asarray(weight), old)
        for weight, old in zip(backbone.weights, before, strict=True)
    }
    assert all(moved[path] for path in moved if path.endswith("kernel"))
    assert [moved[path] for path in moved if "moving" in path] == [not is_kept] * 8
