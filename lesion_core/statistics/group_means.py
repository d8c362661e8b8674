"""A share or a mean over images, with the interval of whole groups."""

from dataclasses import dataclass

import numpy as np

from lesion_core.statistics.estimates import Estimate, percentile_interval, plain_mean_estimate, share_estimate
from lesion_core.statistics.intervals import draw_groups, effective_groups, group_codes, strata_of


@dataclass(frozen=True, slots=True)
class GroupMeans:
    """How intervals are made for some images; the groups of each class are resampled by themselves.

    Attributes:
        class_index: int (n,), 0-based.
        groups: (n,).
        n_bootstrap: Resamples.
        seed: Same seed, same intervals.
    """

    class_index: np.ndarray
    groups: np.ndarray
    n_bootstrap: int
    seed: int

    def share(self, flags: np.ndarray, among: np.ndarray | None = None) -> Estimate:
        """Return how many of the images ``among``, bool (n,), are flagged, bool (n,); not known where there are none.

        The interval is by resampling, or Wilson's where there are few groups (``estimates.share_estimate``).
        """
        chosen = np.ones(len(flags), bool) if among is None else among
        return share_estimate(self._resampled(flags, chosen), effective_groups(self.groups[chosen]))

    def mean(self, values: np.ndarray, among: np.ndarray | None = None) -> Estimate:
        """Return the mean of ``values``, float (n,), over the images ``among``, bool (n,).

        There is no interval where there are too few groups (``estimates.plain_mean_estimate``).
        """
        chosen = np.ones(len(values), bool) if among is None else among
        return plain_mean_estimate(self._resampled(values, chosen), effective_groups(self.groups[chosen]))

    def _resampled(self, values: np.ndarray, chosen: np.ndarray) -> Estimate:
        if not chosen.any():
            return Estimate(value=None)
        codes = group_codes(self.groups[chosen])
        n_groups = int(codes.max()) + 1
        sums = np.bincount(codes, np.asarray(values, np.float64)[chosen], minlength=n_groups)
        counts = np.bincount(codes, minlength=n_groups).astype(np.float64)
        strata = strata_of(self.class_index[chosen], codes)
        draws = [drawn @ sums / (drawn @ counts) for drawn in draw_groups(strata, self.n_bootstrap, self.seed)]
        low, high = percentile_interval(np.concatenate(draws))
        value = float(sums.sum() / counts.sum())
        return Estimate(value=value, low=low, high=high, method="none" if low is None else "group bootstrap")
