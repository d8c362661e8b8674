"""The loss against plain numpy, and what logit adjustment promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lesion_core.labels import N_CLASSES
from lesion_core.modeling.losses import AdjustedCrossEntropy, Targets, logit_offsets

_FLAT = np.full(N_CLASSES, 1 / N_CLASSES)
_SKEWED = np.array([0.2, 0.5, 0.1, 0.02, 0.1, 0.02, 0.03, 0.03])


def _by_hand(logits: np.ndarray, labels: np.ndarray, offsets: np.ndarray, smoothing: float) -> float:
    targets = np.eye(N_CLASSES)[labels] * (1 - smoothing) + smoothing / N_CLASSES
    return float(-(targets * log_softmax(logits + offsets, axis=1)).sum(axis=1).mean())


def _targets(labels: np.ndarray) -> Targets:
    return {"labels": np.eye(N_CLASSES, dtype=np.float32)[labels]}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    smoothing=st.floats(0, 0.5),
    strength=st.floats(0, 2),
)
def test_it_is_the_cross_entropy_of_shifted_logits(seed: int, smoothing: float, strength: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (5, N_CLASSES)).astype(np.float32)
    labels = rng.integers(0, N_CLASSES, 5)
    offsets = logit_offsets(_SKEWED, strength)
    loss = float(AdjustedCrossEntropy(offsets, smoothing)(_targets(labels), logits))
    assert loss == pytest.approx(_by_hand(logits, labels, offsets, smoothing), rel=1e-4, abs=1e-4)


def test_a_flat_prior_or_no_strength_changes_nothing() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (6, N_CLASSES)).astype(np.float32)
    labels = np.arange(6)
    plain = _by_hand(logits, labels, np.zeros(N_CLASSES), 0.0)
    for offsets in (logit_offsets(_FLAT, 1.0), logit_offsets(_SKEWED, 0.0)):
        assert float(AdjustedCrossEntropy(offsets, 0.0)(_targets(labels), logits)) == pytest.approx(plain, rel=1e-5)


def test_the_best_logits_are_those_of_a_flat_prior() -> None:
    """One picture, three classes equally likely to look like it, seen at skewed shares: the logits come out equal."""
    shares = np.array([0.7, 0.2, 0.1])
    offsets = logit_offsets(np.append(shares, np.zeros(N_CLASSES - 3)), 1.0)[:3]

    def expected_loss(logits: np.ndarray) -> float:
        return float(-(shares * log_softmax(logits + offsets)).sum())

    best = minimize(expected_loss, np.array([2.0, 0.0, -1.0])).x
    assert softmax(best) == pytest.approx(np.full(3, 1 / 3), abs=1e-4)


def test_an_absent_class_gets_a_finite_offset_and_no_advantage() -> None:
    prior = np.array([0.6, 0.3, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    offsets = logit_offsets(prior, 1.0)
    assert np.isfinite(offsets).all()
    assert offsets[3] == offsets.max() == offsets[0]
    assert offsets[2] == pytest.approx(np.log(0.1))


def test_the_loss_is_a_mean_so_the_batch_size_does_not_scale_it() -> None:
    logits = np.random.default_rng(1).normal(0, 1, (4, N_CLASSES)).astype(np.float32)
    labels = np.array([0, 1, 2, 3])
    loss = AdjustedCrossEntropy(logit_offsets(_SKEWED, 1.0), 0.1)
    assert float(loss(_targets(labels), logits)) == pytest.approx(
        float(loss(_targets(np.tile(labels, 3)), np.tile(logits, (3, 1)))), rel=1e-5
    )
