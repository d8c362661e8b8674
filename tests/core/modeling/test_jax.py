"""The same network and loss train on another Keras backend: JAX, in a process of its own."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

_STEPS = 12
_CHILD = f"""
import json, random, sys
import jax, keras, numpy as np
from lesion_core.modeling.feed.losses import make_loss
from lesion_core.modeling.network.network import build_network
from lesion_core.recipes.recipe import Recipe

results = {{}}
trained = sys.argv[1].split(",")
for fusion in sys.argv[2:]:
    recipe = Recipe(
        name="j", size_px=32, backbone="tiny", weights="none", fusion=fusion, dropout=0, metadata_dropout=0
    )
    random.seed(3)  # what Keras draws its seeds from; its own function for this would load TensorFlow
    model, rng = build_network(recipe), np.random.default_rng(5)
    classes = np.arange(16) % 8
    inputs = {{
        "image": rng.integers(0, 256, (16, 32, 32, 3)).astype("uint8"),
        "age_years": np.where(classes == 3, np.nan, 20.0 + 5 * classes).astype("float32"),
        "sex_code": (classes % 3).astype("int32"),
        "site_code": (1 + classes).astype("int32"),
    }}
    targets, loss = {{"labels": np.eye(8, dtype="float32")[classes]}}, make_loss(recipe, classes)
    optimizer = keras.optimizers.AdamW(0.01)
    optimizer.build(model.trainable_variables)

    def value(trainable, others):
        outputs, others = model.stateless_call(trainable, others, inputs, training=True)
        return loss(targets, outputs["logits"]), others

    differentiate = jax.value_and_grad(value, has_aux=True)

    @jax.jit
    def step(trainable, others, state):
        (now, others), gradients = differentiate(trainable, others)
        return now, others, optimizer.stateless_apply(state, gradients, trainable)

    weights = [variable.value for variable in model.trainable_variables]
    (_, _), gradients = jax.eval_shape(differentiate, weights, [v.value for v in model.non_trainable_variables])
    results[fusion] = {{"is_traced": [g.shape for g in gradients] == [tuple(w.shape) for w in weights]}}
    if fusion not in trained:
        continue
    trainable = first = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    state, losses = [variable.value for variable in optimizer.variables], []
    for _ in range({_STEPS}):
        now, others, (trainable, state) = step(trainable, others, state)
        losses.append(float(now))
    still = [v.path for v, a, b in zip(model.trainable_variables, first, trainable) if np.array_equal(a, b)]
    results[fusion] |= {{"losses": losses, "still": still}}
print(json.dumps(results))
"""
_FUSIONS = ("additive", "concat", "film", "metablock", "none")
_TRAINED = "film"  # the others are compiled and trained at night
Results = dict[str, dict[str, Any]]


def _results_of(trained: tuple[str, ...], fusions: tuple[str, ...]) -> Results:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CHILD, ",".join(trained), *fusions],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: Results = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def results() -> Results:
    """What a process on JAX says of the gradients of every fusion, and of a few steps of training with one."""
    return _results_of((_TRAINED,), _FUSIONS)


@pytest.fixture(scope="module")
def results_of_others() -> Results:
    """What it says of training with each of the others."""
    others = tuple(fusion for fusion in _FUSIONS if fusion != _TRAINED)
    return _results_of(others, others)


@pytest.mark.parametrize("fusion", _FUSIONS)
def test_network_and_loss_are_traced_and_differentiated_on_jax(results: Results, fusion: str) -> None:
    assert results[fusion]["is_traced"]


def test_steps_on_jax_move_every_weight_and_lower_the_loss(results: Results) -> None:
    _assert_learnt(results[_TRAINED])


@pytest.mark.nightly
@pytest.mark.parametrize("fusion", [fusion for fusion in _FUSIONS if fusion != _TRAINED])
def test_with_every_other_fusion_as_well(results_of_others: Results, fusion: str) -> None:
    _assert_learnt(results_of_others[fusion])


def _assert_learnt(results: dict[str, Any]) -> None:
    assert results["still"] == []
    losses = results["losses"]
    assert losses[-1] < 0.8 * losses[0]
