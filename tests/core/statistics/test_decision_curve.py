import numpy as np
import pytest
from hypothesis import given, settings

from lesion_core.errors import DataError
from lesion_core.statistics.decision_curve import THRESHOLDS, DecisionCurve, decision_curve
from tests.core.evaluation.strategies import seeds


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_net_benefit_is_found_less_weighted_alarms(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, scores = random.random(50) < 0.3, random.random(50).round(2)
    curve = decision_curve(truth, scores)
    for place, threshold in enumerate(THRESHOLDS):
        called = scores >= threshold
        weight = threshold / (1 - threshold)
        expected = ((called & truth).sum() - (called & ~truth).sum() * weight) / 50
        assert curve.model[place] == pytest.approx(expected, abs=1e-12)
        assert curve.treat_all[place] == pytest.approx((truth.sum() - (~truth).sum() * weight) / 50, abs=1e-12)
        assert curve.model[place] <= curve.prevalence


def test_what_theory_says_of_some_models() -> None:
    truth = np.repeat([True, False], [20, 80])
    perfect = decision_curve(truth, truth.astype(float))
    assert perfect.model == pytest.approx((0.2,) * len(THRESHOLDS))
    sure = decision_curve(truth, np.ones(100))
    assert sure.model == sure.treat_all
    assert decision_curve(truth, np.zeros(100)).model == sure.treat_none == (0.0,) * 50
    # Treating all is worth nothing at the threshold that equals the prevalence.
    assert sure.treat_all[THRESHOLDS.index(0.20)] == pytest.approx(0.0, abs=1e-15)
    constant = decision_curve(truth, np.full(100, 0.2))
    at = THRESHOLDS.index(0.20) + 1
    assert constant.model == pytest.approx(sure.treat_all[:at] + (0.0,) * (50 - at))


def test_a_calibrated_model_is_never_worse_than_treating_all_or_none() -> None:
    """Each probability occurs with exactly its share of cases: acting on it is then the best that can be done."""
    said = np.repeat([0.1, 0.3, 0.8], 10)
    truth = np.concatenate([np.arange(10) < 1, np.arange(10) < 3, np.arange(10) < 8])
    curve = decision_curve(truth, said)
    assert (np.array(curve.model) >= np.maximum(curve.treat_all, 0) - 1e-12).all()


def test_it_is_read_back_as_it_was_written() -> None:
    curve = decision_curve(np.array([True, False]), np.array([0.4, 0.2]), (0.1, 0.3))
    assert curve.model == pytest.approx((0.5 - 0.5 / 9, 0.5))
    assert DecisionCurve.model_validate_json(curve.model_dump_json()) == curve


@pytest.mark.parametrize(
    ("truth", "scores", "thresholds", "words"),
    [
        ([], [], (0.1,), "at least one"),
        ([True], [0.1, 0.2], (0.1,), "of each image"),
        ([True], [np.nan], (0.1,), "finite"),
        ([True], [1.2], (0.1,), "from 0 to 1"),
        ([True], [0.2], (0.0, 0.1), "above 0"),
        ([True], [0.2], (0.2, 0.1), "rising"),
        ([True], [0.2], (), "rising"),
    ],
)
def test_what_is_no_probability_or_threshold_is_refused(
    truth: list[bool], scores: list[float], thresholds: tuple[float, ...], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        decision_curve(np.array(truth, bool), np.array(scores), thresholds)
