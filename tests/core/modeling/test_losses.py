"""The loss against plain numpy, and what logit adjustment promises."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lesion_core.labels import N_CLASSES
from lesion_core.modeling.feed.losses import AdjustedCrossEntropy, Targets, make_loss
from lesion_core.recipes.class_shares import class_quotas, class_weights, logit_offsets
from lesion_core.recipes.recipe import Recipe

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
    """One image, three classes equally likely to look like it, seen at skewed shares: the logits come out equal."""
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


# Drawn from the shares of a real archive; the last class never occurs.
_COUNTS = np.array([450, 1280, 330, 86, 260, 24, 25, 0])


def _recipe(imbalance: dict[str, object], label_smoothing: float = 0.0) -> Recipe:
    content = {"imbalance": imbalance, "optimisation": {"label_smoothing": label_smoothing}}
    return Recipe.model_validate({"name": "test", **content})


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gamma=st.floats(0, 10),
    smoothing=st.floats(0, 0.5),
    weighs=st.sampled_from([{}, {"class_weight_power": 0.7}, {"effective_number": 0.999}]),
)
def test_the_focal_loss_of_shared_out_labels_is_what_the_formula_says(
    seed: int, gamma: float, smoothing: float, weighs: dict[str, float]
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (5, N_CLASSES)).astype(np.float32)
    mixed = rng.dirichlet(np.full(N_CLASSES, 0.3), 5).astype(np.float32)
    recipe = _recipe({"loss": "focal", "focal_gamma": gamma, "sampling_power": 0.5, **weighs}, smoothing)
    loss = make_loss(recipe, np.repeat(np.arange(N_CLASSES), _COUNTS))
    drawn = class_quotas(_COUNTS, 0.5)
    seen = drawn * loss.class_weights / drawn.sum()  # what sampling and weights leave for the adjustment to correct
    shares = np.where(seen > 0, seen, seen.max())
    log_probs = log_softmax(logits.astype(np.float64) + np.log(shares), axis=1)
    targets = mixed * (1 - smoothing) + smoothing / N_CLASSES
    focus = (-np.expm1(log_probs)) ** gamma
    expected = -(targets * loss.class_weights * focus * log_probs).sum(axis=1).mean()
    assert float(loss({"labels": mixed}, logits)) == pytest.approx(expected, rel=1e-3, abs=1e-5)


@given(power=st.floats(0, 1), sampling=st.floats(0, 1))
def test_weights_by_power_follow_what_is_drawn(power: float, sampling: float) -> None:
    drawn = class_quotas(_COUNTS, sampling)
    weights = class_weights(_COUNTS, drawn, power=power, effective_number=None)
    here = _COUNTS > 0
    ratios = weights[here] / weights[0]
    assert ratios == pytest.approx((drawn[here] / drawn[0]) ** -power, rel=1e-5)
    assert (weights * drawn).sum() / drawn.sum() == pytest.approx(1, rel=1e-5)


@given(beta=st.floats(0.01, 0.99999), sampling=st.floats(0, 1))
def test_effective_numbers_follow_what_is_there(beta: float, sampling: float) -> None:
    drawn = class_quotas(_COUNTS, sampling)
    weights = class_weights(_COUNTS, drawn, power=0.0, effective_number=beta)
    here = _COUNTS > 0
    effective = (1 - beta ** _COUNTS[here].astype(np.float64)) / (1 - beta)
    assert weights[here] / weights[0] == pytest.approx(effective[0] / effective, rel=1e-4)
    assert (weights * drawn).sum() / drawn.sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"power": 1.0, "effective_number": None}, {"power": 0.0, "effective_number": 0.99}]
)
def test_an_absent_class_weighs_as_little_as_the_lightest(options: dict[str, float | None]) -> None:
    weights = class_weights(_COUNTS, class_quotas(_COUNTS, 0.5), **options)  # type: ignore[arg-type]
    assert np.isfinite(weights).all()
    assert weights[-1] == weights.min() > 0


def test_no_weights_and_no_focus_is_plain_cross_entropy() -> None:
    loss = make_loss(_recipe({"logit_adjustment": 0.0}), np.repeat(np.arange(N_CLASSES), _COUNTS))
    assert loss.class_weights == pytest.approx(1)
    logits = np.random.default_rng(2).normal(0, 2, (6, N_CLASSES)).astype(np.float32)
    expected = _by_hand(logits, np.arange(6), np.zeros(N_CLASSES), 0.0)
    assert float(loss(_targets(np.arange(6)), logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certainty_has_a_finite_slope(gamma: float) -> None:
    """A network sure of itself, rightly and wrongly: where 1 - p is 0, its power has no slope of its own."""
    loss = AdjustedCrossEntropy(np.zeros(N_CLASSES, np.float32), 0.0, focal_gamma=gamma)
    logits = tf.Variable(np.eye(N_CLASSES, dtype=np.float32)[[0, 1]] * 200)
    with tf.GradientTape() as tape:
        value = loss({"labels": np.eye(N_CLASSES, dtype=np.float32)[[0, 0]]}, logits)
    slope = tape.gradient(value, logits).numpy()
    assert np.isfinite(slope).all()
    assert slope[0] == pytest.approx(0, abs=1e-6)
    assert slope[1, 0] == pytest.approx(-0.5, abs=1e-3)  # still pulled towards the truth


@pytest.mark.parametrize(
    "imbalance", [{"class_weight_power": 1.0}, {"effective_number": 0.999}, {"sampling_power": 1.0}]
)
def test_adjustment_corrects_only_what_sampling_and_weights_leave(imbalance: dict[str, float]) -> None:
    """An image that could be of any class, as often as the class is shown: its logits come out equal."""
    loss = make_loss(_recipe({"sampling_power": 0.0, **imbalance}), np.repeat(np.arange(N_CLASSES), _COUNTS))
    drawn = class_quotas(_COUNTS, imbalance.get("sampling_power", 0.0))
    here = drawn > 0

    def expected_loss(logits: np.ndarray) -> float:
        shown = np.full(N_CLASSES, -50.0)
        shown[here] = logits
        terms = drawn / drawn.sum() * loss.class_weights * log_softmax(shown + loss.offsets)
        return float(-terms[here].sum())

    best = softmax(minimize(expected_loss, np.zeros(here.sum())).x)
    assert best == pytest.approx(np.full(here.sum(), 1 / here.sum()), abs=1e-3)
