"""Resamples of what depends on the order of scores: each class by its probability, and malignancy by the sum.

Groups are resampled as in ``intervals``, and a seed draws the same ones.
"""

import numpy as np

from lesion_core.statistics.estimates import Estimate, area_estimate, percentile_interval
from lesion_core.statistics.intervals import (
    OnDrawn,
    draw_groups,
    effective_groups,
    group_codes,
    ignore_draws,
    strata_of,
)
from lesion_core.statistics.metrics import SUMS, summed_probability
from lesion_core.statistics.ranking import Ranked, Ranking, laid_end_to_end, laid_side_by_side

_AT_A_TIME = 64  # resamples whose running sums fit in a processor's cache


def measure_ranking(class_index: np.ndarray, probs: np.ndarray) -> Ranking:
    """Return what is measured on the images themselves, as one row (1, …); arguments as of ``resample_ranking``."""
    ranked = _rank(class_index, probs, np.zeros(len(class_index), np.int64))
    return _both(ranked, np.ones((1, 1)))


def resample_ranking(
    class_index: np.ndarray,
    probs: np.ndarray,
    groups: np.ndarray,
    *,
    n_bootstrap: int,
    seed: int,
    on_drawn: OnDrawn = ignore_draws,
) -> Ranking:
    """Resample groups and rank each class, and each of ``metrics.SUMS``, against the rest.

    Args:
        class_index: int (n,), 0-based.
        probs: float (n, k).
        groups: (n,) group of each image.
        n_bootstrap: Resamples.
        seed: Same seed, same groups drawn as in ``intervals.measure``.
        on_drawn: Hears of so many more resamples done.

    Returns:
        NaN for a resample in which a class has no image or every image.
    """
    codes = group_codes(groups)
    ranked, pieces = _rank(class_index, probs, codes), []
    for drawn in draw_groups(strata_of(class_index, codes), n_bootstrap, seed):
        for start in range(0, len(drawn), _AT_A_TIME):
            pieces.append(_both(ranked, np.ascontiguousarray(drawn[start : start + _AT_A_TIME].T)))
        on_drawn(len(drawn))
    return Ranking(laid_end_to_end([one.by_class for one in pieces]), laid_end_to_end([one.sums for one in pieces]))


def estimate_area(
    is_sought: np.ndarray, scores: np.ndarray, groups: np.ndarray, *, n_bootstrap: int, seed: int
) -> Estimate:
    """Return the area under the ROC curve of one score, with its interval over groups; few have Newcombe's.

    Not known where all images are on one side. Groups are drawn within both sides.

    Args:
        is_sought: bool (n,).
        scores: float (n,), higher for what is sought.
        groups: (n,).
        n_bootstrap: Resamples.
        seed: Same seed, same interval.
    """
    sought, codes = np.asarray(is_sought, bool), group_codes(groups)
    if sought.all() or not sought.any():
        return Estimate(value=None)
    values, n_groups = np.asarray(scores, np.float64), int(codes.max()) + 1
    ranked = Ranked.of(sought, values, codes, n_groups)
    draws = [
        ranked.measure(np.ascontiguousarray(drawn[start : start + _AT_A_TIME].T)).auc[:, 0]
        for drawn in draw_groups(strata_of(sought.astype(np.int64), codes), n_bootstrap, seed)
        for start in range(0, len(drawn), _AT_A_TIME)
    ]
    low, high = percentile_interval(np.concatenate(draws))
    value = float(Ranked.of(sought, values, np.zeros_like(codes), 1).measure(np.ones((1, 1))).auc[0, 0])
    found = Estimate(value=value, low=low, high=high, method="none" if low is None else "group bootstrap")
    return area_estimate(found, effective_groups(codes[sought]), effective_groups(codes[~sought]))


_Rankings = tuple[list[Ranked], list[Ranked]]


def _rank(class_index: np.ndarray, probs: np.ndarray, codes: np.ndarray) -> _Rankings:
    """Sort every score once: of the classes, and of the sums."""
    n_groups = int(codes.max()) + 1
    by_class = [
        Ranked.of(class_index == position, probs[:, position].astype(np.float64), codes, n_groups)
        for position in range(probs.shape[1])
    ]
    sums = [
        Ranked.of(np.isin(class_index, members), summed_probability(probs, members), codes, n_groups)
        for members in SUMS.values()
    ]
    return by_class, sums


def _both(ranked: _Rankings, weights: np.ndarray) -> Ranking:
    by_class, sums = (laid_side_by_side([one.measure(weights) for one in scores]) for scores in ranked)
    return Ranking(by_class, sums)
