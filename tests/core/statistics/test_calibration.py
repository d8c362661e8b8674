import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion_core.errors import DataError
from lesion_core.statistics.calibration import (
    BOUNDS,
    FLAT,
    Calibration,
    apply_temperature,
    bring_to_shares,
    fit_temperature,
)
from lesion_core.statistics.metrics import calibration_error_of, reliability
from tests.core.evaluation.strategies import calibrated_logits, seeds


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    logits, true = calibrated_logits(1)
    found = fit_temperature(logits * temperature, true)
    assert found.temperature == pytest.approx(temperature, rel=0.08)
    assert found.nll_before is not None
    assert found.nll_after is not None
    assert found.nll_after <= found.nll_before
    before = calibration_error_of(reliability(true, apply_temperature(logits * temperature, 1.0)))
    after = calibration_error_of(reliability(true, apply_temperature(logits * temperature, found.temperature)))
    assert float(after) < 0.04
    assert float(after) <= float(before) + 0.005


def test_it_is_the_minimum_of_the_class_balanced_loss() -> None:
    random = np.random.default_rng(2)
    true = np.concatenate([np.zeros(900, int), np.ones(60, int), np.full(40, 2)])
    logits = random.normal(size=(1000, 8)) * 3
    logits[np.arange(1000), true] += 2
    found = fit_temperature(logits, true)

    def loss(temperature: float) -> float:
        p = apply_temperature(logits, temperature)[np.arange(1000), true].astype(float)
        return float(np.mean([-np.log(p[true == name]).mean() for name in (0, 1, 2)]))

    assert found.nll_after == pytest.approx(loss(found.temperature), rel=1e-4)
    assert (
        loss(found.temperature) <= min(loss(found.temperature * factor) for factor in (0.9, 0.97, 1.03, 1.1)) + 1e-9
    )
    observed = fit_temperature(logits, true, np.maximum(np.bincount(true, minlength=8), 1e-9))
    assert observed.temperature != pytest.approx(found.temperature, rel=1e-3)


SHARES = np.array([0.18, 0.508, 0.131, 0.034, 0.104, 0.009, 0.01, 0.024])  # of ISIC 2019's classes, roughly


def _perfect(prior: np.ndarray, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of a model that knows all there is to know, for ``prior``, and classes at ``SHARES``.

    Evidence is x ~ N(a_y e_y, I), whose log likelihood of class c is a_c x_c - a_c^2 / 2 but for a constant; some
    classes are easier to tell (a) than others.
    """
    random = np.random.default_rng(5)
    ease = np.array([1.2, 2.6, 1.4, 1.0, 1.2, 0.8, 2.6, 1.0])
    true = random.choice(8, n, p=SHARES)
    evidence = random.normal(size=(n, 8)) + ease[true][:, None] * np.eye(8)[true]
    return ease * evidence - ease**2 / 2 + np.log(prior), true


@pytest.mark.parametrize("prior", [FLAT, SHARES, SHARES**0.5 / (SHARES**0.5).sum()])
def test_a_perfect_model_needs_no_temperature_whatever_its_prior(prior: np.ndarray) -> None:
    logits, true = _perfect(prior)
    assert fit_temperature(logits, true, prior).temperature == pytest.approx(1, rel=0.03)


def test_the_prior_of_the_logits_is_what_the_temperature_is_fitted_under() -> None:
    """Logits with the training's prior, taken for flat, look far too sure of the common classes."""
    logits, true = _perfect(SHARES)
    assert fit_temperature(logits, true, FLAT).temperature > 1.3


@pytest.mark.parametrize("prior", [FLAT, SHARES])
def test_a_perfect_model_is_calibrated_at_the_shares_it_is_measured_at(prior: np.ndarray) -> None:
    logits, true = _perfect(prior)
    probs = apply_temperature(logits, 1.0)
    here = np.bincount(true, minlength=8) / len(true)
    assert float(calibration_error_of(reliability(true, bring_to_shares(probs, prior, here)))) < 0.006
    if prior is FLAT:  # as they were answered, they are wrong by what the classes differ in number
        assert float(calibration_error_of(reliability(true, probs))) > 0.03


def test_probabilities_are_brought_to_other_shares_by_bayes_rule() -> None:
    probs = np.array([[0.5, 0.5, *[0.0] * 6], [1.0, *[0.0] * 7]])
    shares = np.array([0.3, 0.1, *[0.1] * 6])
    found = bring_to_shares(probs, FLAT, shares)
    assert found[0, :2] == pytest.approx([0.75, 0.25])
    assert found.sum(axis=1) == pytest.approx(1)
    assert bring_to_shares(found, shares, FLAT) == pytest.approx(probs, abs=1e-9)
    assert bring_to_shares(probs, np.stack([FLAT, shares]), shares)[1] == pytest.approx(probs[1], abs=1e-9)
    none = np.array([0.0, 1.0, *[0.0] * 6])
    assert bring_to_shares(probs, FLAT, none)[:, 1] == pytest.approx(1)  # the only class there is


@pytest.mark.parametrize("prior", [np.zeros(8), np.full(7, 1 / 7), np.array([np.nan, *[0.1] * 7])])
def test_a_prior_without_a_share_of_each_class_is_refused(prior: np.ndarray) -> None:
    with pytest.raises(DataError, match="a share above 0 of each of 8 classes"):
        fit_temperature(np.zeros((50, 8)), np.arange(50) % 8, prior)
    with pytest.raises(DataError, match="a share above 0 of each of 8 classes"):
        bring_to_shares(np.full((2, 8), 0.125), prior, FLAT)
    with pytest.raises(DataError, match="8 class shares from 0, not all 0"):
        bring_to_shares(np.full((2, 8), 0.125), FLAT, np.zeros(8))


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.2, 5))
def test_the_leading_class_never_changes(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(20, 8))
    probs = apply_temperature(logits, temperature)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probs.argmax(axis=1), logits.argmax(axis=1))


def test_perfect_logits_stay_within_the_bounds() -> None:
    true = np.arange(80) % 8
    found = fit_temperature(np.eye(8)[true] * 5, true)
    assert BOUNDS[0] <= found.temperature < 2 * BOUNDS[0]


def test_huge_logits_do_not_overflow() -> None:
    logits = np.random.default_rng(0).normal(size=(100, 8)) * 1e4
    assert np.isfinite(fit_temperature(logits, np.arange(100) % 8).temperature)


@pytest.mark.parametrize(("n", "classes", "words"), [(0, 1, "0 images"), (39, 8, "39 images"), (60, 1, "1 classes")])
def test_too_little_to_fit_on_leaves_the_temperature_at_one_and_says_why(n: int, classes: int, words: str) -> None:
    found = fit_temperature(np.zeros((n, 8)), np.arange(n) % classes)
    assert found.temperature == 1.0
    assert found.reason is not None
    assert words in found.reason
    assert found.n_images == n


def test_no_single_rare_image_decides() -> None:
    logits, true = calibrated_logits(5, 400)
    logits, true = logits[true != 5], true[true != 5]
    usual = fit_temperature(logits, true).temperature
    confident_mistake = np.vstack([logits, np.eye(8)[[0]] * 12])
    moved = fit_temperature(confident_mistake, np.append(true, 5)).temperature
    assert moved < 1.6 * usual


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(DataError, match="NaN or infinity"):
        fit_temperature(np.full((50, 8), np.nan), np.arange(50) % 8)
    with pytest.raises(DataError, match=r"\(n, 8\)"):
        fit_temperature(np.zeros((50, 7)), np.arange(50) % 7)
    with pytest.raises(DataError, match="0 to 7"):
        fit_temperature(np.zeros((50, 8)), np.full(50, 8))


def test_it_survives_json() -> None:
    logits, true = calibrated_logits(3, 200)
    found = fit_temperature(logits, true)
    assert Calibration.model_validate_json(json.dumps(found.model_dump(mode="json"), allow_nan=False)) == found
