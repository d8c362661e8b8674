"""Means over images with intervals over groups."""

import numpy as np
import pytest

from lesion_core.evaluation.analysis.group_means import mean_estimates

TRUE = np.tile([0, 1], 200)


def test_images_of_a_group_are_no_independent_evidence() -> None:
    """Four copies of each image say no more than one: the interval stays as wide."""
    values = np.random.default_rng(2).normal(size=100)
    asked = {"n_bootstrap": 2000, "seed": 4}
    once = mean_estimates({"x": values}, TRUE[:100], np.arange(100), **asked)["x"]
    copied = mean_estimates(
        {"x": np.repeat(values, 4)}, np.repeat(TRUE[:100], 4), np.repeat(np.arange(100), 4), **asked
    )
    assert copied["x"].value == pytest.approx(once.value)
    assert copied["x"].low == pytest.approx(once.low)
    assert once.high - once.low == pytest.approx(2 * 1.96 * values.std(ddof=1) / 10, rel=0.1)  # type: ignore[operator]


def test_few_groups_have_wilsons_interval_of_a_share_and_none_of_a_mean() -> None:
    values = {"share": TRUE == 0, "mean": TRUE.astype(float)}
    few = mean_estimates(values, TRUE, np.arange(400) // 10, n_bootstrap=100, seed=1)
    assert few["share"].method == "Wilson"
    assert few["mean"].value == 0.5
    assert few["mean"].low is None
    many = mean_estimates({"share": np.arange(400) % 3 == 0}, TRUE, np.arange(400), n_bootstrap=100, seed=1)
    assert many["share"].method == "group bootstrap"
