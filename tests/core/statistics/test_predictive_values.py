import math

import numpy as np
import pytest

from lesion_core.statistics.estimates import Estimate, wilson_interval
from lesion_core.statistics.predictive_values import (
    PREVALENCES,
    PredictiveValue,
    ppv_estimate,
    predictive_values,
    ratio_interval,
)

UNKNOWN = Estimate(value=None)


def _share(value: float, n: int) -> Estimate:
    low, high = wilson_interval(value, n)
    return Estimate(value=value, low=low, high=high, method="Wilson")


def test_values_are_those_of_a_table_of_counts() -> None:
    """Of 10,000 lesions 100 are malignant; sensitivity 0.9 finds 90, specificity 0.8 leaves 1,980 false alarms."""
    (row,) = predictive_values("leading class", _share(0.9, 200), _share(0.8, 500), (0.01,))
    assert row.ppv.value == pytest.approx(90 / (90 + 1980))
    assert row.npv.value == pytest.approx(7920 / (7920 + 10))
    assert (row.decision, row.prevalence, row.ppv.method) == ("leading class", 0.01, "combined")


@pytest.mark.parametrize("prevalence", PREVALENCES)
def test_at_the_prevalence_of_the_images_it_is_their_precision(prevalence: float) -> None:
    n_malignant = round(1000 * prevalence)
    found, alarms = 0.8 * n_malignant, 0.1 * (1000 - n_malignant)
    estimate = ppv_estimate(_share(0.8, 100), _share(0.9, 300), prevalence)
    assert estimate.value == pytest.approx(found / (found + alarms))


@pytest.mark.parametrize("prevalence", PREVALENCES)
@pytest.mark.parametrize(
    ("sensitivity", "specificity"), [(0.9, 0.8), (1.0, 0.9), (0.5, 1.0), (0.02, 0.99), (1.0, 1.0), (0.0, 0.9)]
)
def test_an_interval_holds_its_value_and_lies_within_the_worst_case(
    sensitivity: float, specificity: float, prevalence: float
) -> None:
    one, other = _share(sensitivity, 60), _share(specificity, 200)
    for found, first, second, share in (
        (ppv_estimate(one, other, prevalence), one, other, prevalence),
        (ppv_estimate(other, one, 1 - prevalence), other, one, 1 - prevalence),
    ):
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.value <= found.high <= 1
        # Both parts at their worse ends at once is rarer than 1 in 40, so the interval is narrower.
        worst = ppv_estimate(Estimate(value=first.low), Estimate(value=second.low), share).value
        assert worst is not None
        assert worst <= found.low + 1e-12


def test_how_often_the_interval_holds_the_truth() -> None:
    """4,000 tests of 150 malignant and 400 other lesions; Wilson's of the parts, combined."""
    random, truth = np.random.default_rng(2), ppv_estimate(Estimate(value=0.85), Estimate(value=0.9), 0.05).value
    assert truth is not None
    held = []
    for found, cleared in zip(random.binomial(150, 0.85, 4000), random.binomial(400, 0.9, 4000), strict=True):
        one = ppv_estimate(_share(found / 150, 150), _share(cleared / 400, 400), 0.05)
        assert one.low is not None
        assert one.high is not None
        held.append(one.low <= truth <= one.high)
    assert 0.94 <= np.mean(held) <= 0.965


def test_a_ratio_without_a_lower_end_below_has_no_upper_end() -> None:
    assert ratio_interval((0.5, 0.4, 0.6), (0.1, 0.0, 0.3))[1] == math.inf
    assert ratio_interval((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) == (0.0, 0.0)
    # Parts without any error leave the ratio none.
    assert ratio_interval((0.2, 0.2, 0.2), (0.4, 0.4, 0.4)) == pytest.approx((0.5, 0.5))


def test_what_cannot_be_known_is_not() -> None:
    assert ppv_estimate(UNKNOWN, _share(0.9, 100), 0.05) == UNKNOWN
    assert ppv_estimate(_share(0.0, 100), _share(1.0, 100), 0.05) == UNKNOWN  # nothing is called malignant
    alone = ppv_estimate(Estimate(value=0.9), _share(0.9, 100), 0.05)
    assert alone.value is not None
    assert alone.low is None


def test_a_row_is_read_back_as_it_was_written() -> None:
    rows = predictive_values("summed probability", _share(0.9, 200), _share(0.8, 500))
    assert tuple(row.prevalence for row in rows) == (0.01, 0.05, 0.20)
    assert PredictiveValue.model_validate_json(rows[0].model_dump_json()) == rows[0]
