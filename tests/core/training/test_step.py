"""The inside of a step: rates, averages, precision, replicas; each against what it must equal."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from lesion_core.labels import N_CLASSES
from lesion_core.modeling.feed.losses import AdjustedCrossEntropy
from lesion_core.modeling.network.network import build_network
from lesion_core.recipes.recipe import Recipe
from lesion_core.recipes.sections import Optimisation
from lesion_core.training.devices import as_float32, set_up
from lesion_core.training.loop.layers import moving_statistics, rate_shares, release
from lesion_core.training.loop.optimizer import AdamW
from lesion_core.training.loop.step import Trainer, make_trainer

MakeRecipe = Callable[..., Recipe]
Batch = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def _batch(n_images: int = 6) -> Batch:
    rng = np.random.default_rng(1)
    inputs = {
        "image": tf.constant(rng.integers(0, 256, (n_images, 32, 32, 3)), tf.uint8),
        "age_years": tf.constant(rng.uniform(20, 80, n_images), tf.float32),
        "sex_code": tf.constant(rng.integers(0, 3, n_images), tf.int32),
        "site_code": tf.constant(rng.integers(0, 9, n_images), tf.int32),
    }
    return inputs, {"labels": tf.one_hot(rng.integers(0, N_CLASSES, n_images), N_CLASSES)}


def _loss() -> AdjustedCrossEntropy:
    return AdjustedCrossEntropy(np.zeros(N_CLASSES, np.float32), 0.0)


def _ready(recipe: Recipe) -> tuple[keras.Model, Trainer]:
    set_up(recipe)
    model = build_network(recipe)
    release(model, recipe)
    return model, make_trainer(model, recipe, _loss(), shares=rate_shares(model, recipe), is_averaged=True)


def _plain(make_recipe: MakeRecipe, **optimisation: object) -> Recipe:
    """A recipe without chance."""
    return make_recipe(dropout=0.0, metadata_dropout=0.0, optimisation=optimisation)


def _values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(variable.value) for variable in variables]


def test_the_update_is_that_of_keras(make_recipe: MakeRecipe) -> None:
    shapes = {"kernel": (3, 4), "bias": (4,), "gamma": (2,)}
    rng = np.random.default_rng(0)
    first = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    ours, theirs = ([keras.Variable(value, name=name) for name, value in first.items()] for _ in range(2))
    optimizer = AdamW(ours, Optimisation(weight_decay=0.1, gradient_clip=1.0))
    reference = keras.optimizers.AdamW(0.05, weight_decay=0.1, global_clipnorm=1.0)
    reference.exclude_from_weight_decay(var_names=["bias", "gamma"])
    for _ in range(5):
        gradients = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes.values()]
        optimizer.apply(gradients, tf.constant(0.05))
        reference.apply(gradients, theirs)
    for one, other, start in zip(_values(ours), _values(theirs), first.values(), strict=True):
        assert np.allclose(one, other, atol=1e-5)
        assert not np.allclose(one, start, atol=1e-2)


def test_each_finer_resolution_moves_at_its_share_of_the_rate(make_recipe: MakeRecipe) -> None:
    recipe = _plain(make_recipe, rate_decay=0.5, weight_decay=0.5, gradient_clip=None)
    model, trainer = _ready(recipe)
    before = {variable.path: np.array(variable.value) for variable in model.trainable_variables}
    rate = 1e-3
    trainer.step(*_batch(), rate)
    # The first update of Adam is the sign of the gradient times the rate, wherever there is a gradient to speak of.
    moved = {
        variable.path: np.median(np.abs(np.array(variable.value) - before[variable.path] * (1 - share * rate * 0.5)))
        for variable in model.trainable_variables
        for share in [_share(variable.path) if variable.path.endswith("kernel") else 0.0]
        if variable.path.endswith("kernel")
    }
    assert len(moved) >= 6
    for path, distance in moved.items():
        assert distance == pytest.approx(rate * _share(path), rel=0.02), path


def _share(path: str) -> float:
    """Four convolutions of the backbone, each at half the side of the one before; the head is above them."""
    for height, name in enumerate(("conv_4", "conv_3", "conv_2", "conv_1")):
        if f"{name}/" in path:
            return float(0.5**height)
    return 1.0


@pytest.mark.parametrize(("unfreeze", "trained"), [(1.0, [1, 2, 3, 4]), (0.5, [3, 4]), (0.1, [4])])
def test_only_the_top_share_of_the_layers_trains(
    make_recipe: MakeRecipe, unfreeze: float, trained: list[int]
) -> None:
    recipe = _plain(make_recipe, unfreeze=unfreeze, batch_norm="training")
    model, trainer = _ready(recipe)
    backbone = model.get_layer("backbone")
    before = {weight.path: np.array(weight) for weight in backbone.weights}
    trainer.step(*_batch(), 1e-3)
    moved = {weight.path for weight in backbone.weights if not np.array_equal(before[weight.path], weight)}
    # Eight layers have weights, convolution and normalisation in turn; a tenth of them is the last normalisation.
    kernels = [number for number in range(1, 5) if any(f"conv_{number}/" in path for path in moved)]
    statistics = [number for number in range(1, 5) if any(f"bn_{number}/moving" in path for path in moved)]
    assert kernels == (trained if unfreeze > 0.2 else [])
    assert statistics == trained


def test_the_average_follows_the_weights_and_takes_their_place_for_a_while(make_recipe: MakeRecipe) -> None:
    recipe = _plain(make_recipe, ema_decay=0.5, batch_norm="training")
    model, trainer = _ready(recipe)
    watched = [*model.trainable_variables, *moving_statistics(model)]
    assert len(moving_statistics(model)) == 8
    expected = _values(watched)
    for count in range(1, 12):
        trainer.step(*_batch(), 1e-2)
        decay = min(0.5, (1 + count) / (10 + count))
        expected = [decay * mean + (1 - decay) * now for mean, now in zip(expected, _values(watched), strict=True)]
    raw = _values(watched)
    with trainer.averaged():
        inside = _values(watched)
    for mean, found, before, after in zip(expected, inside, raw, _values(watched), strict=True):
        assert np.allclose(found, mean, rtol=1e-4, atol=1e-6)
        assert np.array_equal(before, after)
    assert any(not np.allclose(mean, now, atol=1e-4) for mean, now in zip(inside, raw, strict=True))


def test_without_an_average_the_weights_stay_in_the_model(make_recipe: MakeRecipe) -> None:
    model, trainer = _ready(_plain(make_recipe))
    raw = _values(model.weights)
    with trainer.averaged():
        assert all(np.array_equal(a, b) for a, b in zip(raw, _values(model.weights), strict=True))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_is_stored_in_full(make_recipe: MakeRecipe, precision: str) -> None:
    recipe = _plain(make_recipe, precision=precision, learning_rate=0.01)
    model, trainer = _ready(recipe)
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.get_layer("backbone").get_layer("conv_2").compute_dtype == precision
    inputs, targets = _batch()
    assert model(inputs)["logits"].dtype == tf.float32
    losses = [float(trainer.step(inputs, targets, 1e-2)) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]
    plain = as_float32(model, recipe)
    assert plain.get_layer("backbone").get_layer("conv_2").compute_dtype == "float32"
    difference = np.abs(np.array(plain(inputs)["logits"]) - np.array(model(inputs)["logits"])).max()
    assert 0 < difference < 0.2


def test_a_step_whose_gradients_overflow_is_left_out_and_halves_the_scale() -> None:
    variables = [keras.Variable(np.ones(3, np.float32), name="kernel")]
    optimizer = AdamW(variables, Optimisation(ema_decay=0.5), averaged=variables, has_loss_scale=True)
    assert optimizer.loss_scale is not None
    scale = float(optimizer.loss_scale.scale)
    assert float(optimizer.scaled(tf.constant(2.0))) == 2.0 * scale
    optimizer.apply([tf.constant([1.0, 2.0, -1.0]) * scale], tf.constant(0.1))
    before = [np.array(value) for value in (*(v.value for v in variables), *optimizer.state[:4])]
    optimizer.apply([tf.constant([np.inf, 1.0, np.nan])], tf.constant(0.1))
    after = [np.array(value) for value in (*(v.value for v in variables), *optimizer.state[:4])]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert float(optimizer.loss_scale.scale) == scale / 2
    optimizer.loss_scale.n_good.assign(1999)
    optimizer.apply([tf.constant([1.0, 2.0, -1.0])], tf.constant(0.1))
    assert float(optimizer.loss_scale.scale) == scale
    assert not np.array_equal(np.array(variables[0].value), before[0])


def test_a_step_compiled_with_xla_is_the_same_step(make_recipe: MakeRecipe) -> None:
    plain, compiled = (_ready(_plain(make_recipe, xla=xla)) for xla in (False, True))
    losses = [[float(trainer.step(*_batch(), 1e-3)) for _ in range(2)] for _, trainer in (plain, compiled)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for one, other in zip(_values(plain[0].weights), _values(compiled[0].weights), strict=True):
        assert np.allclose(one, other, atol=1e-4)


_TWO_REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from lesion_core.recipes.recipe import Recipe
from lesion_core.training.loop.state import FitState, pack, restore_model, restore_optimizer
from tests.core.training.test_step import _batch, _ready

recipe = Recipe.model_validate({
    "name": "two", "size_px": 32, "backbone": "tiny", "weights": "none", "dropout": 0, "metadata_dropout": 0,
    "optimisation": {"ema_decay": 0.9, "batch_norm": "training", "weight_decay": 0.1},
})
results = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        model, trainer = _ready(recipe)
        for layer in model.get_layer("backbone").layers:
            layer.trainable = "bn" not in layer.name  # statistics of half a batch are others
        from tests.core.training.test_step import _loss
        from lesion_core.training.loop.step import make_trainer
        trainer = make_trainer(model, recipe, _loss(), is_averaged=True)
        losses = [float(trainer.step(*_batch(7), 1e-3)) for _ in range(3)]
        checkpoint = pack(FitState(), model, trainer.optimizer, "all", {})
        for variable in (*model.variables, *trainer.optimizer.state):
            variable.assign(tf.zeros_like(variable.value if hasattr(variable, "path") else variable))
        restore_model(checkpoint, model)
        restore_optimizer(checkpoint, trainer.optimizer, "all")
        losses.append(float(trainer.step(*_batch(7), 1e-3)))
        with trainer.averaged():
            weights = [np.array(weight.value.read_value()) for weight in model.weights]
        results.append((strategy.num_replicas_in_sync, losses, weights))
(one, losses, weights), (two, other_losses, other_weights) = results
assert (one, two) == (1, 2)
assert np.allclose(losses, other_losses, rtol=1e-4), (losses, other_losses)
assert losses[-1] < losses[0]
for mine, theirs in zip(weights, other_weights, strict=True):
    assert np.allclose(mine, theirs, atol=2e-4), np.abs(mine - theirs).max()
"""


@pytest.mark.slow
def test_two_replicas_make_the_step_that_one_would() -> None:
    """A batch of seven over two devices: the mean over the batch, not over the devices' means."""
    outcome = subprocess.run([sys.executable, "-c", _TWO_REPLICAS], capture_output=True, text=True, timeout=280)
    assert outcome.returncode == 0, outcome.stderr[-3000:]
