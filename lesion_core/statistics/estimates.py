"""A measured number and how sure it is.

The interval is the percentile interval of Efron 1981 (doi:10.2307/3314608): with 95 %, the 2.5th to the 97.5th
percentile of what resampling gives. Few groups make it far too narrow. Below the numbers of groups named here an
interval by formula takes its place, in which groups count as independent trials. Groups that differ in size count as
so many fewer (``intervals.effective_groups``), and at each end the wider of formula and resampling counts.
``python -m benchmarks.coverage`` measures how often each holds the truth (docs/evaluation.md).
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import brentq

from lesion_core.types import Value

LEVEL = 0.95
MIN_GROUPS_OF_A_SHARE = 100
MIN_GROUPS_OF_A_KIND = 10  # of hits, and of misses: near 0 and 1 resamples say too little with more groups, too
MIN_GROUPS_OF_AN_AREA = 200  # of the class, and of the rest
MIN_GROUPS_OF_AN_ORDER = 100  # of the images to find, and of the others; below, there is no interval
MIN_GROUPS_OF_A_MEAN = 50  # below, there is no interval
_EDGE = 1e-9
_NORMAL_QUANTILE = 1.959963984540054  # of the middle 95 %


class Estimate(Value):
    """A measured number with its 95 % interval; ``None`` where it cannot be known."""

    value: float | None = Field(allow_inf_nan=False)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    method: Literal["group bootstrap", "simultaneous", "Wilson", "Newcombe", "combined", "none"] = Field(
        default="none",
        description="'Wilson', 'Newcombe' (of an AUC): too few groups to resample, or all alike; groups count as "
        "trials. 'combined': from such intervals of its parts. 'simultaneous': one of several, which all hold "
        "together in 95 %",
    )

    def in_words(self, decimals: int = 3) -> str:
        """Return '0.612 (0.571 to 0.648)', or 'not known'."""
        interval = f" ({self.interval_in_words(decimals)})" if self.low is not None else ""
        return self.value_in_words(decimals) + (interval if self.value is not None else "")

    def value_in_words(self, decimals: int = 3) -> str:
        """Return '0.612', or 'not known'."""
        return "not known" if self.value is None else f"{self.value:.{decimals}f}"

    def interval_in_words(self, decimals: int = 3) -> str:
        """Return '0.571 to 0.648', or an empty string."""
        return "" if self.low is None or self.high is None else f"{self.low:.{decimals}f} to {self.high:.{decimals}f}"


def percentile_interval(draws: np.ndarray) -> tuple[float | None, float | None]:
    """Return the ends of the middle 95 % of the draws that are known; ``None`` where fewer than two are."""
    draws = draws[~np.isnan(draws)]
    if len(draws) < 2:
        return None, None
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def simultaneous_estimates(values: Sequence[float], draws: np.ndarray) -> tuple[Estimate, ...]:
    """Return estimates whose intervals all hold together with 95 %, however many there are.

    Each is value ± c · s, with s the standard deviation of its draws and c the 95th percentile, over the resamples,
    of the largest deviation among all in units of s (the single-step maximum, Westfall and Young 1993,
    "Resampling-Based Multiple Testing", section 2.3.3; Hothorn, Bretz and Westfall 2008, doi:10.1002/bimj.200810425).

    Args:
        values: As measured, m of them.
        draws: float (m, b), of the same resamples in each column.
    """
    spread = draws.std(axis=1, ddof=1) if draws.shape[1] > 1 else np.zeros(len(draws))
    moved = np.abs(draws - draws.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)[:, None]
    if not len(draws) or draws.shape[1] < 2:
        return tuple(Estimate(value=known(value)) for value in values)
    reach = float(np.quantile(moved.max(axis=0), LEVEL)) * spread
    return tuple(
        Estimate(value=known(value), low=float(value - half), high=float(value + half), method="simultaneous")
        for value, half in zip(values, reach, strict=True)
    )


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``n`` independent trials (Wilson 1927, doi:10.2307/2276774)."""
    z2 = _NORMAL_QUANTILE**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_QUANTILE / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe_interval(auc: float, n_class: float, n_others: float) -> tuple[float, float]:
    """Return the 95 % interval of an area under the ROC curve of independent trials.

    Method 5 of Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic.
    Part 2" (doi:10.1002/sim.2324): the areas from which the measured one is 1.96 of their own standard errors away.

    Args:
        auc: 0 to 1.
        n_class: Trials of the class, at least 1.
        n_others: Trials of the rest, at least 1.
    """
    middle = (n_class + n_others) / 2 - 1

    def error(area: float) -> float:
        spread = 1 + middle * (1 - area) / (2 - area) + middle * area / (1 + area)
        return _NORMAL_QUANTILE * math.sqrt(max(area * (1 - area) * spread / (n_class * n_others), 0.0))

    # Not the ends themselves: an area of 0 or 1 has no error, and would be 0 errors away from itself.
    low = 0.0 if auc <= 0 else float(brentq(lambda area: area + error(area) - auc, 0.0, min(auc, 1 - _EDGE)))
    high = 1.0 if auc >= 1 else float(brentq(lambda area: area - error(area) - auc, max(auc, _EDGE), 1.0))
    return low, high


def share_estimate(resampled: Estimate, n_groups: float) -> Estimate:
    """Return the estimate of a share, by Wilson where resampling says too little.

    That is with few groups, with few hits or misses, or where all agree: a share of 0 or 1, or one that only classes
    decide, whose resamples never differ. The groups then count as trials, but the interval is never narrower than by
    resampling.

    Args:
        resampled: The estimate by resampling.
        n_groups: Groups that the share is taken over.
    """
    if resampled.value is None or n_groups < 1 - _EDGE:
        return resampled
    n_of_rarer = min(resampled.value, 1 - resampled.value) * n_groups
    if n_of_rarer >= MIN_GROUPS_OF_A_KIND and _says_enough(resampled, n_groups, MIN_GROUPS_OF_A_SHARE):
        return resampled
    low, high = wilson_interval(resampled.value, n_groups)
    return _wider(resampled, low, high, "Wilson")


def overlap_estimate(resampled: Estimate, n_groups: float, n_class: float) -> Estimate:
    """Return the estimate of an F1 score, by Wilson where resampling says too little.

    F1 is 2 J / (1 + J) of the share J of hits among the images that are of the class or were called so (Jaccard's).

    Args:
        resampled: The estimate by resampling.
        n_groups: Groups with an image that is of the class or was called so.
        n_class: Groups with an image of the class.
    """
    if resampled.value is None or n_groups < 1 - _EDGE or _says_enough(resampled, n_class, MIN_GROUPS_OF_A_SHARE):
        return resampled
    low, high = (2 * end / (1 + end) for end in wilson_interval(resampled.value / (2 - resampled.value), n_groups))
    return _wider(resampled, low, high, "Wilson")


def area_estimate(resampled: Estimate, n_class: float, n_others: float) -> Estimate:
    """Return the estimate of an area under the ROC curve, by Newcombe where resampling says too little.

    Args:
        resampled: The estimate by resampling.
        n_class: Groups with an image of the class.
        n_others: Groups with another image.
    """
    n_fewer = min(n_class, n_others)
    if resampled.value is None or n_fewer < 1 - _EDGE or _says_enough(resampled, n_fewer, MIN_GROUPS_OF_AN_AREA):
        return resampled
    low, high = newcombe_interval(resampled.value, n_class, n_others)
    return _wider(resampled, low, high, "Newcombe")


def _wider(resampled: Estimate, low: float, high: float, method: Literal["Wilson", "Newcombe"]) -> Estimate:
    """Return an interval by formula, at each end no narrower than by resampling.

    A formula counts each group as one trial of the same weight. Where some groups have many more images than others,
    the share varies more than that, and the resamples show it.
    """
    if resampled.low is not None and resampled.high is not None:
        low, high = min(low, resampled.low), max(high, resampled.high)
    return Estimate(value=resampled.value, low=low, high=high, method=method)


def plain_order_estimate(resampled: Estimate, n_sought: float, n_others: float) -> Estimate:
    """Return the estimate of what depends on the order of scores and has no formula for few groups.

    It has no interval with few groups of either kind, nor where all resamples agree.

    Args:
        resampled: The estimate by resampling.
        n_sought: Groups with an image to find.
        n_others: Groups with another image.
    """
    if min(n_sought, n_others) >= MIN_GROUPS_OF_AN_ORDER and not _all_agree(resampled):
        return resampled
    return Estimate(value=resampled.value)


def plain_mean_estimate(resampled: Estimate, n_groups: float) -> Estimate:
    """Return the estimate of a mean over all images, without an interval where there are too few groups for one."""
    if n_groups >= MIN_GROUPS_OF_A_MEAN:
        return resampled
    return Estimate(value=resampled.value)


def _says_enough(resampled: Estimate, n_groups: float, at_least: int) -> bool:
    is_open = resampled.value is not None and 0 < resampled.value < 1
    return n_groups >= at_least and is_open and not _all_agree(resampled)


def _all_agree(resampled: Estimate) -> bool:
    """Return whether the resamples never differ, but for rounding."""
    return resampled.low is not None and resampled.high is not None and resampled.high - resampled.low <= _EDGE


def mean_estimate(resampled: Estimate, parts: Sequence[Estimate]) -> Estimate:
    """Return the estimate of a mean of parts, from their intervals where resampling says too little.

    That is where any part's interval is by formula. The parts' half-widths then add up as squares (the method of
    variance estimates recovery, Zou and Donner 2008, doi:10.1002/sim.3095), as if they were independent; they are
    not quite, so that at each end the wider of this and of resampling counts. Where a part has no interval, the mean
    has none.

    Args:
        resampled: The mean's estimate by resampling.
        parts: The estimates that it is the mean of; those that are not known are left out.
    """
    used = [part for part in parts if part.value is not None]
    if any(part.low is None for part in used):
        return Estimate(value=resampled.value)
    if resampled.value is None or not any(part.method in ("Wilson", "Newcombe") for part in used):
        return resampled
    below = [part.value - part.low for part in used if part.value is not None and part.low is not None]
    above = [part.high - part.value for part in used if part.value is not None and part.high is not None]
    low, high = resampled.value - math.hypot(*below) / len(used), resampled.value + math.hypot(*above) / len(used)
    if resampled.low is not None and resampled.high is not None:
        low, high = min(low, resampled.low), max(high, resampled.high)
    return Estimate(value=resampled.value, low=max(0.0, low), high=min(1.0, high), method="combined")


def paired_share_interval(first: np.ndarray, second: np.ndarray, n_groups: float) -> tuple[float, float]:
    """Return the 95 % interval of a difference of two shares of the same images.

    Method 10 of Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based
    on paired data" (doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C): from Wilson's intervals
    of both shares and their correlation.

    Args:
        first: Whether the one was right, bool (n,), n at least 1.
        second: Whether the other was, for the same images.
        n_groups: Trials that the images count as.
    """
    shares = [float(np.mean(one)) for one in (first, second)]
    (low1, high1), (low2, high2) = (wilson_interval(share, n_groups) for share in shares)
    agreement = _correlation(first, second, n_groups)
    below, above = shares[0] - low1, high1 - shares[0]
    below2, above2 = shares[1] - low2, high2 - shares[1]
    difference = shares[0] - shares[1]
    down = math.sqrt(max(below**2 - 2 * agreement * below * above2 + above2**2, 0.0))
    up = math.sqrt(max(above**2 - 2 * agreement * above * below2 + below2**2, 0.0))
    return max(-1.0, difference - down), min(1.0, difference + up)


def _correlation(first: np.ndarray, second: np.ndarray, n_groups: float) -> float:
    """Return Newcombe's correlation of two yes-or-no answers, which counts as 0 where few trials make it doubtful."""
    scale = n_groups / len(first)
    both, neither = scale * np.sum(first & second), scale * np.sum(~first & ~second)
    one, other = scale * np.sum(first & ~second), scale * np.sum(~first & second)
    margins = (both + one) * (other + neither) * (both + other) * (one + neither)
    if margins <= 0:
        return 0.0
    product = both * neither - one * other
    return float((max(product - n_groups / 2, 0.0) if product > 0 else product) / math.sqrt(margins))


def known(value: float | np.ndarray) -> float | None:
    """Return a number, or ``None`` for NaN."""
    return None if math.isnan(value) else float(value)
