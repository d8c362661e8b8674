"""The gates against the formulas of their papers, in plain numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from lesion_core.modeling.network.gates import GatedEvidence
from lesion_core.modeling.network.metadata import unknown_encoding

Shares = dict[str, np.ndarray]
KINDS = ("film", "metablock")
_N_FIELDS, _N_CHANNELS = len(unknown_encoding()), 5


def _layer(kind: str, seed: int) -> GatedEvidence:
    layer = GatedEvidence(kind)
    layer.build([(None, 3, 4, _N_CHANNELS), (None, _N_FIELDS)])
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(0, 0.7, weight.shape).astype(np.float32) for weight in layer.weights])
    return layer


def _inputs(seed: int, n_images: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed + 1)
    features = rng.normal(0.5, 1, (n_images, 3, 4, _N_CHANNELS)).astype(np.float32)
    return features, rng.normal(0, 1, (n_images, _N_FIELDS)).astype(np.float32)


def _shares(layer: GatedEvidence, features: np.ndarray, metadata: np.ndarray) -> Shares:
    return {name: np.asarray(value) for name, value in layer((features, metadata)).items()}


def _total(shares: Shares) -> np.ndarray:
    return shares["evidence"].mean(axis=(1, 2)) + shares["metadata"] + shares["interaction"]


def _by_hand(kind: str, layer: GatedEvidence, features: np.ndarray, metadata: np.ndarray) -> np.ndarray:
    kernel, scale, shift = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    means, factor, term = features.mean(axis=(1, 2)), 1 + metadata @ scale, metadata @ shift
    gated = factor * means + term if kind == "film" else expit(np.tanh(factor * means) + term)
    total: np.ndarray = gated @ kernel
    return total


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000))
def test_the_three_shares_add_up_to_the_papers_formula(kind: str, seed: int) -> None:
    layer, (features, metadata) = _layer(kind, seed), _inputs(seed)
    expected = _by_hand(kind, layer, features, metadata)
    np.testing.assert_allclose(_total(_shares(layer, features, metadata)), expected, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_metadata_and_a_silent_image_do_not_interact(kind: str) -> None:
    layer, (features, metadata) = _layer(kind, 1), _inputs(1)
    unknown = np.tile(unknown_encoding(), (3, 1))
    np.testing.assert_allclose(_shares(layer, features, unknown)["interaction"], 0, atol=1e-6)
    silent = _shares(layer, np.zeros_like(features), metadata)
    assert not silent["evidence"].any()
    assert not silent["interaction"].any()
    assert np.abs(_shares(layer, features, metadata)["interaction"]).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_says_what_its_mean_says(kind: str) -> None:
    """Training on a frozen backbone keeps the means only."""
    layer, (features, metadata) = _layer(kind, 2), _inputs(2)
    even = np.broadcast_to(features.mean(axis=(1, 2), keepdims=True), features.shape).copy()
    np.testing.assert_allclose(
        _total(_shares(layer, even, metadata)), _total(_shares(layer, features, metadata)), atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_shares_are_those_of_cells_and_move_with_them(kind: str) -> None:
    layer, (features, metadata) = _layer(kind, 3), _inputs(3)
    before, after = _shares(layer, features, metadata), _shares(layer, features[:, ::-1], metadata)
    np.testing.assert_allclose(after["evidence"], before["evidence"][:, ::-1], atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 1e-9, 9.99e-4, 1.001e-3, -1e-4, 40.0])
def test_metablock_is_smooth_where_a_channel_is_silent(mean: float) -> None:
    """Between the slope and the secant there is no step, and no channel however silent or loud has no gradient."""
    layer, (_, metadata) = _layer("metablock", 4), _inputs(4)
    features = np.full((3, 3, 4, _N_CHANNELS), mean, np.float32)
    expected = _by_hand("metablock", layer, features, metadata)
    np.testing.assert_allclose(_total(_shares(layer, features, metadata)), expected, atol=2e-5)
    given_features = tf.Variable(features)
    with tf.GradientTape() as tape:
        shares = layer((given_features, metadata))
        value = tf.reduce_sum(shares["evidence"]) + tf.reduce_sum(shares["interaction"])
    gradients = tape.gradient(value, [given_features, *(weight.value for weight in layer.weights)])
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_step_already_moves_every_weight(kind: str) -> None:
    keras.utils.set_random_seed(6)
    layer, (features, metadata) = GatedEvidence(kind), _inputs(6)
    with tf.GradientTape() as tape:
        shares = layer((features, metadata))
        total = tf.reduce_mean(shares["evidence"], (1, 2)) + shares["metadata"] + shares["interaction"]
        loss = tf.reduce_sum(total * np.arange(1, 9, dtype=np.float32))
    for gradient in tape.gradient(loss, [weight.value for weight in layer.weights]):
        assert (np.abs(gradient.numpy()) > 0).all()
