"""The distance is Mahalanobis', features may be degenerate, and the threshold keeps its rate of false alarms."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from lesion_core.errors import DataError
from lesion_core.statistics.guarantees.out_of_distribution import (
    OutOfDistribution,
    find_threshold,
    fit_spread,
)
from lesion_core.statistics.guarantees.trials import one_per_group


def _features(n: int, d: int = 6, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3).astype(np.float32)


def _threshold(scores: np.ndarray) -> OutOfDistribution:
    return find_threshold(scores, layer="a layer", n_fit=100)


def test_the_distance_is_that_of_mahalanobis_with_a_shrunk_covariance() -> None:
    features = _features(200)
    spread = fit_spread(features)
    oracle = LedoitWolf().fit(features.astype(np.float64))
    further = _features(20, seed=2)
    expected = [mahalanobis(row, oracle.location_, oracle.precision_) for row in further]
    np.testing.assert_allclose(spread.distances(further), expected, rtol=1e-3)
    assert spread.n == 200


@pytest.mark.parametrize(
    "features",
    [
        _features(5, d=40),  # fewer images than features
        np.full((30, 8), 0.25, np.float32),  # all alike
        np.concatenate([_features(30), np.zeros((30, 3), np.float32)], axis=1),  # channels that are never on
        _features(1),
    ],
    ids=["few", "constant", "dead channels", "one"],
)
def test_degenerate_features_have_finite_distances_and_strangers_are_further_away(features: np.ndarray) -> None:
    spread = fit_spread(features)
    own, strange = spread.distances(features), spread.distances(features + 5)
    assert np.isfinite(own).all()
    assert np.isfinite(strange).all()
    assert strange.min() > own.max()


def test_features_that_are_no_numbers_are_refused() -> None:
    broken = _features(5)
    broken[2, 1] = np.nan
    with pytest.raises(DataError, match="got 5 images of which 1 have none"):
        fit_spread(broken)
    with pytest.raises(DataError, match="at least one training image"):
        fit_spread(np.zeros((0, 6), np.float32))


def test_the_threshold_is_an_order_statistic() -> None:
    found = _threshold(np.arange(1.0, 100.0))  # ⌈100 · 0.95⌉ = 95th of 99
    assert found.threshold == 95.0
    assert found.n_calibration == 99
    assert _threshold(np.arange(1.0, 21.0)).threshold == 20.0  # the largest of the fewest


def test_with_few_groups_there_is_no_threshold_and_a_reason() -> None:
    found = _threshold(np.arange(19.0))
    assert found.threshold is None
    assert found.rate_low is None
    assert "19 groups of calibration images are too few" in found.reason
    assert _threshold(np.zeros(0)).threshold is None


def test_with_not_many_groups_the_range_of_the_rate_is_said() -> None:
    few, many = _threshold(np.random.default_rng(1).normal(size=40)), _threshold(np.arange(2000.0))
    assert few.rate_high is not None
    assert few.rate_high > 0.1
    assert "comes from 40 groups of calibration images" in few.reason
    assert many.reason == ""


def test_the_threshold_keeps_its_rate_and_the_stated_range_holds_it() -> None:
    rng = np.random.default_rng(7)
    rates, holds = [], []
    for _ in range(400):
        found = _threshold(rng.exponential(size=60))
        assert found.threshold is not None
        assert found.rate_low is not None
        assert found.rate_high is not None
        rates.append(float(np.exp(-found.threshold)))  # the true rate of further images
        holds.append(found.rate_low <= rates[-1] <= found.rate_high)
    assert np.mean(rates) <= 0.05 + 3 * np.std(rates) / np.sqrt(len(rates))
    assert 0.92 <= np.mean(holds) <= 0.98


def test_one_image_of_each_group_is_taken_by_chance_and_repeatably() -> None:
    groups = np.repeat([f"g{number}" for number in range(30)], 4)
    chosen = one_per_group(groups, seed=0)
    assert len(chosen) == len(set(groups[chosen])) == 30
    assert (chosen % 4 != 0).any()  # not always the first
    np.testing.assert_array_equal(chosen, one_per_group(groups, seed=0))
    fewer = one_per_group(groups, seed=0, at_most=10)
    assert len(set(groups[fewer])) == 10
    assert set(groups[fewer]) != {f"g{number}" for number in range(10)}
