"""How sure a measured number is: intervals from resampling whole groups.

Images of one patient or lesion resemble each other, so an interval that treats them as independent is too narrow.
Groups are drawn with replacement and every statistic is computed from the drawn groups' images (the cluster
bootstrap; Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x). Each class keeps its weight, because that
is how test splits are made, and because a resample that lost a rare class would have another chance level. Of n
groups of a class n - 1 are drawn, each for n / (n - 1): n draws of n vary by that factor too little (Rao and Wu
1988, doi:10.1080/01621459.1988.10478591). A group of several classes counts for its rarest. With few groups of a
class there is little to resample: see ``estimates.share_estimate`` and ``estimates.mean_estimate``.

Counts are summed per group once, so a resample is one row of a matrix product and a thousand take well under a
second.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lesion_core.errors import DataError
from lesion_core.labels import N_CLASSES
from lesion_core.statistics.estimates import Estimate, known, percentile_interval
from lesion_core.statistics.measures import CLASS_MEASURES, MEASURES, Totals
from lesion_core.statistics.metrics import N_BINS, SUMS, Reliability, decisions_of_sums, reliability_bin

_ALL = (*MEASURES, *CLASS_MEASURES)
_WITHOUT_INTERVAL = frozenset(one.name for one in _ALL if one.interval == "none")
_NUMBERS_AT_A_TIME = 4_000_000
OnDrawn = Callable[[int], None]  # resamples done since the last call


@dataclass(frozen=True, slots=True)
class GroupSums:
    """What each group adds to the statistics; the first axis of every array is the group (g)."""

    confusion: np.ndarray  # float64 (g, k²), true class first
    terms: Mapping[str, np.ndarray]  # (g,) of each measure that has ``terms``, by name
    bins: np.ndarray  # (g, 3 * N_BINS): count, confidence, correct
    decisions: np.ndarray  # (g, 2 * 4): images by each of SUMS, and by the cells of ``decisions_of_sums``
    n_images: np.ndarray  # (g,)
    strata: np.ndarray  # int (g,): the class that the group counts for


@dataclass(frozen=True, slots=True)
class Resampled:
    """Statistics of every resample (b in all), beside those of the images themselves (measured)."""

    measured: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]

    def estimate(self, name: str, position: int | None = None) -> Estimate:
        """Return one number's estimate; ``position`` picks a class of a per-class statistic."""
        value, draws = self.measured[name], self.draws[name]
        if position is not None:
            value, draws = value[position], draws[:, position]
        low, high = (None, None) if name in _WITHOUT_INTERVAL else percentile_interval(draws)
        return Estimate(value=known(value), low=low, high=high, method="none" if low is None else "group bootstrap")


def ignore_draws(n: int) -> None:
    """Do nothing with the news of ``n`` more resamples."""


def measure(
    class_index: np.ndarray,
    probs: np.ndarray,
    groups: np.ndarray,
    *,
    n_bootstrap: int,
    seed: int,
    calibrated: np.ndarray | None = None,
    on_drawn: OnDrawn = ignore_draws,
) -> Resampled:
    """Measure everything that adds up over groups, and its resamples.

    Args:
        class_index: int (n,), 0-based.
        probs: float (n, k).
        groups: (n,) group of each image, of any sortable type.
        n_bootstrap: Resamples.
        seed: Same seed, same intervals.
        calibrated: float (n, k), the probabilities for the class shares of these images: what is asked how right
            they are is asked of these (``calibration.bring_to_shares``); ``None``: ``probs`` are for them.
        on_drawn: Hears of so many more resamples done.

    Returns:
        Statistics by the name of their measure, of ``CLASS_MEASURES`` (k,) and of ``MEASURES`` (), without those that
        depend on the order of scores.

    Raises:
        DataError: No images, or lengths that differ.
    """
    sums = sum_by_group(class_index, probs, groups, calibrated)
    everything = np.ones((1, len(sums.n_images)))
    measured = {name: values[0] for name, values in _statistics(sums, everything).items()}
    parts = []
    for drawn in draw_groups(sums.strata, n_bootstrap, seed):
        parts.append(_statistics(sums, drawn))
        on_drawn(len(drawn))
    return Resampled(measured, {name: np.concatenate([part[name] for part in parts]) for name in measured})


def sum_by_group(
    class_index: np.ndarray, probs: np.ndarray, groups: np.ndarray, calibrated: np.ndarray | None = None
) -> GroupSums:
    """Return what each group adds; arguments as for ``measure``."""
    true, probs, codes = np.asarray(class_index, np.int64), np.asarray(probs, np.float64), group_codes(groups)
    believed = probs if calibrated is None else np.asarray(calibrated, np.float64)
    if not len(true) or len(codes) != len(true):
        raise DataError(f"expected at least one image, each with a group, got {len(true)} and {len(codes)} groups")
    n_groups = int(codes.max()) + 1
    predicted = probs.argmax(axis=1)

    def summed(cells: np.ndarray, n_cells: int, weights: np.ndarray | None = None) -> np.ndarray:
        counts = np.bincount(codes * n_cells + cells, weights, minlength=n_groups * n_cells)
        return counts.reshape(n_groups, n_cells).astype(np.float64)

    bins = reliability_bin(believed)
    zero = np.zeros(len(true), np.int64)
    return GroupSums(
        confusion=summed(true * N_CLASSES + predicted, N_CLASSES**2),
        terms={one.name: summed(zero, 1, one.terms(true, believed))[:, 0] for one in MEASURES if one.terms},
        bins=np.hstack(
            [
                summed(bins, N_BINS),
                summed(bins, N_BINS, believed.max(axis=1)),
                summed(bins, N_BINS, (believed.argmax(axis=1) == true).astype(np.float64)),
            ]
        ),
        decisions=np.hstack([summed(cells, 4) for cells in decisions_of_sums(true, probs).T]),
        n_images=summed(zero, 1)[:, 0],
        strata=strata_of(true, codes),
    )


def group_codes(groups: np.ndarray) -> np.ndarray:
    """Return each image's group as int (n,), 0-based, in the groups' own order."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64).reshape(-1)


def effective_groups(codes: np.ndarray) -> float:
    """Return how many groups of equal size say as much as these, 0 for none.

    (Σ m)² / Σ m² of the groups' numbers of images m: the effective sample size of unequal weights (Kish 1965, "Survey
    Sampling", section 11.7), as if all images of a group agreed.

    Args:
        codes: (n,), group of each image, of any sortable type.
    """
    if not len(codes):
        return 0.0
    sizes = np.unique(codes, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def strata_of(class_index: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return each group's class, int (g,): of the classes among its images the one rarest over all images.

    Args:
        class_index: int (n,), 0-based.
        codes: int (n,), group of each image, 0-based without gaps.
    """
    counts = np.bincount(class_index, minlength=N_CLASSES)
    rank = np.argsort(np.argsort(counts, kind="stable"), kind="stable")
    rarest = np.full(int(codes.max()) + 1, N_CLASSES)
    np.minimum.at(rarest, codes, rank[class_index])
    return np.argsort(counts, kind="stable")[rarest]


def draw_groups(strata: np.ndarray, n_bootstrap: int, seed: int) -> Iterator[np.ndarray]:
    """Yield what each group weighs, float64 (b, g), in pieces that fit in memory.

    Args:
        strata: int (g,); the weights of each stratum's groups sum to their number.
        n_bootstrap: Resamples in all.
        seed: Same seed and strata, same draws.
    """
    random = np.random.default_rng(seed)
    n_groups = len(strata)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    n_drawn = [max(1, len(group) - 1) for group in members]
    weight = np.empty(n_groups)
    for group, n in zip(members, n_drawn, strict=True):
        weight[group] = len(group) / n
    at_a_time = max(1, _NUMBERS_AT_A_TIME // n_groups)
    for start in range(0, n_bootstrap, at_a_time):
        size = min(at_a_time, n_bootstrap - start)
        drawn = np.hstack(
            [group[random.integers(len(group), size=(size, n))] for group, n in zip(members, n_drawn, strict=True)]
        )
        counts = np.bincount((drawn + np.arange(size)[:, None] * n_groups).ravel(), minlength=size * n_groups)
        yield counts.reshape(size, n_groups) * weight


def _statistics(sums: GroupSums, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Return every statistic of each resample; ``drawn`` is (b, g)."""
    n_images = drawn @ sums.n_images
    totals = Totals(
        confusion=(drawn @ sums.confusion).reshape(-1, N_CLASSES, N_CLASSES),
        means={name: drawn @ terms / n_images for name, terms in sums.terms.items()},
        bins=Reliability(*np.split(drawn @ sums.bins, 3, axis=1)),
        decisions=(drawn @ sums.decisions).reshape(-1, len(SUMS), 4),
    )
    return {**totals.means, **{one.name: one.of_totals(totals) for one in _ALL if one.of_totals}}
