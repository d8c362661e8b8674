"""Means over images with intervals over groups."""

import numpy as np
import pytest

from lesion_core.statistics.group_means import GroupMeans

TRUE = np.tile([0, 1], 200)


def test_images_of_a_group_are_no_independent_evidence() -> None:
    """Four copies of each image say no more than one: the interval stays as wide."""
    values = np.random.default_rng(2).normal(size=100)
    once = GroupMeans(TRUE[:100], np.arange(100), n_bootstrap=2000, seed=4).mean(values)
    four = np.repeat(np.arange(100), 4)
    copied = GroupMeans(TRUE[:100][four], four, n_bootstrap=2000, seed=4).mean(values[four])
    assert copied.value == pytest.approx(once.value)
    assert copied.low == pytest.approx(once.low)
    assert once.high - once.low == pytest.approx(2 * 1.96 * values.std(ddof=1) / 10, rel=0.1)  # type: ignore[operator]


def test_few_groups_have_wilsons_interval_of_a_share_and_none_of_a_mean() -> None:
    few = GroupMeans(TRUE, np.arange(400) // 10, n_bootstrap=100, seed=1)
    assert few.share(TRUE == 0).method == "Wilson"
    assert few.mean(TRUE.astype(float)).value == 0.5
    assert few.mean(TRUE.astype(float)).low is None
    many = GroupMeans(TRUE, np.arange(400), n_bootstrap=100, seed=1)
    assert many.share(np.arange(400) % 3 == 0).method == "group bootstrap"


def test_a_share_among_no_images_is_not_known() -> None:
    means = GroupMeans(TRUE, np.arange(400), n_bootstrap=100, seed=1)
    assert means.share(TRUE == 0, TRUE > 1).value is None
    assert means.share(TRUE == 0, TRUE == 0).value == 1.0
