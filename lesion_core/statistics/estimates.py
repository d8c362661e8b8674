"""A measured number and how sure it is.

The interval is the percentile interval of Efron 1981 (doi:10.2307/3314608): with 95 %, the 2.5th to the 97.5th
percentile of what resampling gives. Where resampling says too little, it is Wilson's.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from lesion_core.types import Value

LEVEL = 0.95
# With fewer groups, or where every group says the same, percentiles of resamples are far too narrow.
MIN_GROUPS_TO_RESAMPLE = 10
_NORMAL_QUANTILE = 1.959963984540054  # of the middle 95 %


class Estimate(Value):
    """A measured number with its 95 % interval; ``None`` where it cannot be known."""

    value: float | None = Field(allow_inf_nan=False)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    method: Literal["group bootstrap", "simultaneous", "Wilson", "combined", "none"] = Field(
        default="none",
        description="'Wilson': too few groups to resample, or all alike; groups count as trials. 'combined': a mean "
        "of numbers of which some are Wilson's. 'simultaneous': one of several, which all hold together in 95 %",
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


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``n`` independent trials (Wilson 1927, doi:10.2307/2276774)."""
    z2 = _NORMAL_QUANTILE**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_QUANTILE / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def share_estimate(resampled: Estimate, n_groups: int) -> Estimate:
    """Return the estimate of a share, by Wilson where resampling says too little.

    That is with fewer than ten groups, or where all agree (a share of 0 or 1, whose resamples never differ). The
    groups then count as trials: images of one lesion are not independent, so this errs on the wide side.

    Args:
        resampled: The estimate by resampling.
        n_groups: Groups that the share is taken over.
    """
    if resampled.value is None or n_groups < 1:
        return resampled
    if n_groups >= MIN_GROUPS_TO_RESAMPLE and 0 < resampled.value < 1:
        return resampled
    low, high = wilson_interval(resampled.value, n_groups)
    return Estimate(value=resampled.value, low=low, high=high, method="Wilson")


def mean_estimate(resampled: Estimate, parts: Sequence[Estimate]) -> Estimate:
    """Return the estimate of a mean of independent parts, from their intervals where resampling says too little.

    That is where any part's interval is Wilson's. The parts' half-widths then add up as squares (the method of
    variance estimates recovery, Zou and Donner 2008, doi:10.1002/sim.3095).

    Args:
        resampled: The mean's estimate by resampling.
        parts: The estimates that it is the mean of; those that are not known are left out.
    """
    used = [part for part in parts if part.value is not None]
    if resampled.value is None or not any(part.method == "Wilson" for part in used):
        return resampled
    below = [part.value - part.low for part in used if part.value is not None and part.low is not None]
    above = [part.high - part.value for part in used if part.value is not None and part.high is not None]
    return Estimate(
        value=resampled.value,
        low=max(0.0, resampled.value - math.hypot(*below) / len(used)),
        high=min(1.0, resampled.value + math.hypot(*above) / len(used)),
        method="combined",
    )


def known(value: float | np.ndarray) -> float | None:
    """Return a number, or ``None`` for NaN."""
    return None if math.isnan(value) else float(value)
