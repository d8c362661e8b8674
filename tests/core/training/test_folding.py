"""A folded step computes what the network computes, and the same gradients."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from lesion_core.modeling.network.network import build_network
from lesion_core.recipes.recipe import Recipe
from lesion_core.training.loop.folding import _pairs, folded
from lesion_core.training.loop.layers import freeze_normalisation, normalisations


def _network(recipe: Recipe) -> keras.Model:
    """A network whose normalisation does something, and no layer of which draws at random."""
    keras.utils.set_random_seed(5)
    model = build_network(recipe)
    rng = np.random.default_rng(2)
    for layer in normalisations(model):
        for variable in layer.weights:
            variable.assign(np.asarray(variable) * rng.uniform(0.5, 1.5, variable.shape) + rng.uniform(0, 0.1))
    return model


def _inputs(size_px: int) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(3)
    return {
        "image": tf.constant(rng.integers(0, 256, (4, size_px, size_px, 3)), tf.uint8),
        "age_years": tf.constant([50.0, 30.0, np.nan, 70.0]),
        "sex_code": tf.constant([0, 1, 2, 1]),
        "site_code": tf.constant([0, 1, 2, 3]),
    }


def _logits_and_gradients(call: Callable[..., dict[str, tf.Tensor]], model: keras.Model) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        logits = call(_inputs(model.input["image"].shape[1]))["logits"]
        value = tf.reduce_sum(logits * tf.range(8, dtype=tf.float32))
    return [
        logits.numpy(),
        *(np.array(g) for g in tape.gradient(value, [v.value for v in model.trainable_variables])),
    ]


@pytest.mark.parametrize(
    ("backbone", "n_folded"),
    [
        ("tiny", 4),
        ("efficientnet-lite0", 49),
        pytest.param("mobilenet-v2-0.35", 52, marks=pytest.mark.nightly),
    ],
)
def test_logits_and_gradients_are_those_of_the_network(
    make_recipe: Callable[..., Recipe], backbone: str, n_folded: int
) -> None:
    model = _network(make_recipe(backbone=backbone, dropout=0.0, metadata_dropout=0.0))
    freeze_normalisation(model)
    assert len(list(_pairs(model))) == n_folded
    expected = _logits_and_gradients(lambda inputs: model(inputs, training=True), model)
    found = _logits_and_gradients(tf.function(folded(model), autograph=False), model)
    for one, other in zip(expected, found, strict=True):
        assert np.allclose(one, other, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(one).max())))


def test_what_trains_is_not_folded_and_dropout_still_drops(make_recipe: Callable[..., Recipe]) -> None:
    model = _network(make_recipe(dropout=0.5))
    assert not list(_pairs(model))
    freeze_normalisation(model)
    normalisation = next(iter(normalisations(model)))
    normalisation.trainable = True
    assert normalisation not in [layer for _, layer in _pairs(model)]
    freeze_normalisation(model)
    call = folded(model)
    logits = [call(_inputs(32))["logits"].numpy() for _ in range(2)]
    assert not np.allclose(*logits)
