"""Means over images with intervals over groups, for numbers that are no measure of a report."""

from collections.abc import Mapping

import numpy as np

from lesion_core.statistics.estimates import (
    Estimate,
    known,
    percentile_interval,
    plain_mean_estimate,
    share_estimate,
)
from lesion_core.statistics.intervals import draw_groups, group_codes, strata_of


def mean_estimates(
    values: Mapping[str, np.ndarray], class_index: np.ndarray, groups: np.ndarray, *, n_bootstrap: int, seed: int
) -> dict[str, Estimate]:
    """Return the mean of each array over the images, with its interval by the group bootstrap.

    Of few groups, a share has Wilson's interval and a mean has none (``estimates``).

    Args:
        values: By name, (n,) each: bool of a share, float of a mean.
        class_index: int (n,), 0-based: groups are drawn class by class.
        groups: (n,).
        n_bootstrap: Resamples.
        seed: Same seed, same intervals.
    """
    codes = group_codes(groups)
    n_groups = int(codes.max()) + 1
    sums = np.column_stack([np.bincount(codes, one.astype(np.float64), n_groups) for one in values.values()])
    n_images = np.bincount(codes, minlength=n_groups).astype(np.float64)
    strata = strata_of(np.asarray(class_index, np.int64), codes)
    draws = np.concatenate(
        [drawn @ sums / (drawn @ n_images)[:, None] for drawn in draw_groups(strata, n_bootstrap, seed)]
    )
    return {
        name: _estimate(one, float(np.mean(one)), draws[:, place], n_groups)
        for place, (name, one) in enumerate(values.items())
    }


def _estimate(values: np.ndarray, mean: float, draws: np.ndarray, n_groups: int) -> Estimate:
    low, high = percentile_interval(draws)
    found = Estimate(value=known(mean), low=low, high=high, method="none" if low is None else "group bootstrap")
    return share_estimate(found, n_groups) if values.dtype == bool else plain_mean_estimate(found, n_groups)
