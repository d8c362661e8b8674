"""False alarms are counted on images, their interval comes from groups, and what is not known is not counted."""

import numpy as np
import pytest

from lesion_core.errors import DataError
from lesion_core.evaluation.analysis.out_of_distribution import measure_out_of_distribution
from lesion_core.statistics.estimates import wilson_interval


def test_the_interval_is_that_of_groups_not_of_images() -> None:
    rng = np.random.default_rng(1)
    by_group = np.where(rng.random(400) < 0.1, 9.0, 1.0)  # all images of a group are alike
    scores, groups = np.repeat(by_group, 10), np.repeat(np.arange(400), 10)
    found = measure_out_of_distribution(scores, groups, 5.0)
    assert found.share.method == "group bootstrap"
    assert found.n_flagged == int((by_group > 5).sum()) * 10
    assert (found.n_images, found.n_groups) == (4000, 400)
    low, high = wilson_interval(float(found.share.value or 0), 400)
    assert found.share.low == pytest.approx(low, abs=0.01)
    assert found.share.high == pytest.approx(high, abs=0.01)


def test_few_groups_and_no_alarm_have_an_interval_by_formula() -> None:
    found = measure_out_of_distribution(np.ones(30), np.arange(30), 5.0)
    assert (found.share.value, found.share.method) == (0.0, "Wilson")
    assert found.share.high == pytest.approx(wilson_interval(0.0, 30)[1])


def test_what_is_not_known_is_none() -> None:
    scores = np.array([1.0, np.nan, 7.0])
    found = measure_out_of_distribution(scores, np.array(["a", "b", "c"]), 5.0)
    assert (found.n_images, found.n_without_score, found.n_flagged, found.n_groups) == (2, 1, 1, 2)
    assert (found.median_score, found.highest_score) == (4.0, 7.0)
    without = measure_out_of_distribution(scores, np.array(["a", "b", "c"]), None)
    assert (without.n_flagged, without.share.value) == (None, None)
    nothing = measure_out_of_distribution(np.array([np.nan]), np.array(["a"]), 5.0)
    assert (nothing.share.value, nothing.median_score) == (None, None)
    with pytest.raises(DataError, match="3 scores and 1 groups"):
        measure_out_of_distribution(scores, np.array(["a"]), 5.0)
