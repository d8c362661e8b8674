"""How far a subgroup differs from the rest, and whether chance and the class mix explain it.

A permutation test, not the bootstrap: p-values come from the null hypothesis itself and are right with few groups,
where percentiles of resamples are not. Whole groups change sides, within strata of the same class and the same kind
of group (one image or several), so each side keeps its class mix: what a side's classes alone make of the difference
is in every permutation, and the distance from their mean is what counts. Under the null hypothesis, being right does
not depend on the side, given the class. Groups with images on both sides have no label and are left out.

p = (1 + number of permutations at least as far from their mean) / (1 + permutations): Phipson and Smyth 2010
(doi:10.2202/1544-6115.1585). All p-values of a report are corrected together by Benjamini and Hochberg 1995
(doi:10.1111/j.2517-6161.1995.tb02031.x), who keep the false discovery rate also where tests depend on each other
positively (Benjamini and Yekutieli 2001, doi:10.1214/aos/1013699998).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control

from lesion_core.evaluation.analysis.results import Gap, GapMeasure
from lesion_core.evaluation.measurement import Scored
from lesion_core.labels import N_CLASSES
from lesion_core.statistics.intervals import group_codes, strata_of
from lesion_core.statistics.measures import is_malignant
from lesion_core.statistics.metrics import mean_known

N_PERMUTATIONS = 1999
_NUMBERS_AT_A_TIME = 4_000_000
_EDGE = 1e-9
_MEASURES: tuple[GapMeasure, ...] = ("malignant sensitivity", "balanced accuracy")


@dataclass(frozen=True, slots=True)
class Side:
    """Images with one value of a field, bool (n,); the rest are the other side."""

    field: str
    value: str
    inside: np.ndarray

    def n_groups(self, scored: Scored) -> tuple[int, int]:
        """Return how many groups have an image inside, and how many outside."""
        return scored.n_groups_of(self.inside), scored.n_groups_of(~self.inside)


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups that lie on one side only, g of them.

    Attributes:
        inside: bool (g,).
        strata: int (g,), within which sides are exchanged.
        hits: float (g, 1 + k): images called right; first malignant ones called malignant, then class by class.
        images: float (g, 1 + k): images that these are of.
        n_on_both: Groups that were left out.
    """

    inside: np.ndarray
    strata: np.ndarray
    hits: np.ndarray
    images: np.ndarray
    n_on_both: int


@dataclass(frozen=True, slots=True)
class _Tested:
    """A gap before its p is corrected."""

    side: Side
    groups: _Groups
    measure: GapMeasure
    rates: tuple[float, float]
    expected: float
    p: float


def measure_gaps(scored: Scored, sides: Sequence[Side], *, n_permutations: int, seed: int) -> tuple[Gap, ...]:
    """Compare each subgroup with the rest in malignant sensitivity and in balanced accuracy.

    Balanced accuracy is over the classes that both sides have. There is no gap where a side has nothing to measure,
    or where no permutation differs from another, as where each class lies on one side only.

    Args:
        scored: Truth, probabilities and groups.
        sides: What is compared.
        n_permutations: Of each comparison.
        seed: Same seed, same p-values.
    """
    tested = [
        one
        for number, side in enumerate(sides)
        for one in _test(scored, side, n_permutations, np.random.default_rng([seed, number]))
    ]
    corrected = false_discovery_control([one.p for one in tested]) if tested else []
    return tuple(
        Gap(
            field=one.side.field,
            value=one.side.value,
            measure=one.measure,
            inside=one.rates[0],
            outside=one.rates[1],
            expected=one.expected,
            n_groups_inside=int(one.groups.inside.sum()),
            n_groups_outside=int((~one.groups.inside).sum()),
            n_groups_on_both_sides=one.groups.n_on_both,
            p=one.p,
            p_corrected=float(p),
        )
        for one, p in zip(tested, corrected, strict=True)
    )


def _test(scored: Scored, side: Side, n_permutations: int, random: np.random.Generator) -> Iterator[_Tested]:
    groups = _groups(scored, side)
    if groups.inside.all() or not groups.inside.any():
        return
    measured = _rates(groups, groups.inside[None])
    is_common = ~np.isnan(measured).any(axis=0)[0]  # (1 + k,): malignant, and each class
    draws = np.concatenate([_rates(groups, moved) for moved in _permuted(groups, n_permutations, random)], axis=1)
    for measure, places in zip(_MEASURES, (slice(0, 1), slice(1, None)), strict=True):
        used = is_common[places]
        if not used.any():
            continue
        inside, outside = (float(one[0, places][used].mean()) for one in measured)
        found = mean_known((draws[0] - draws[1])[:, places][:, used])
        found = found[~np.isnan(found)]
        if len(found) and np.ptp(found) > _EDGE:
            expected = float(found.mean())
            as_far = np.abs(found - expected) >= abs(inside - outside - expected) - _EDGE
            p = (1 + int(as_far.sum())) / (1 + len(found))
            yield _Tested(side, groups, measure, (inside, outside), expected, p)


def _groups(scored: Scored, side: Side) -> _Groups:
    codes = group_codes(scored.groups)
    true, called = scored.class_index, scored.probs.argmax(axis=1)
    n_groups = int(codes.max()) + 1
    of_class = np.eye(N_CLASSES)[true]
    malignant = is_malignant(true)
    images = np.column_stack([malignant, of_class])
    hits = np.column_stack([malignant & is_malignant(called), of_class * (called == true)[:, None]])
    n_inside = np.bincount(codes, side.inside, n_groups)
    n_images = np.bincount(codes, minlength=n_groups)
    pure = (n_inside == 0) | (n_inside == n_images)
    strata = 2 * strata_of(np.asarray(true, np.int64), codes) + (n_images > 1)
    return _Groups(
        inside=n_inside[pure] > 0,
        strata=strata[pure],
        hits=_summed(hits, codes, n_groups)[pure],
        images=_summed(images, codes, n_groups)[pure],
        n_on_both=int((~pure).sum()),
    )


def _summed(values: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    return np.column_stack([np.bincount(codes, column, n_groups) for column in values.T])


def _permuted(groups: _Groups, n_permutations: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield which groups are inside, bool (b, g), in pieces that fit in memory; strata keep their numbers."""
    members = [np.flatnonzero(groups.strata == stratum) for stratum in np.unique(groups.strata)]
    at_a_time = max(1, _NUMBERS_AT_A_TIME // len(groups.strata))
    for start in range(0, n_permutations, at_a_time):
        size = min(at_a_time, n_permutations - start)
        inside = np.empty((size, len(groups.strata)), bool)
        for of_stratum in members:
            n_inside = int(groups.inside[of_stratum].sum())
            ranks = random.random((size, len(of_stratum)), np.float32).argsort(axis=1)
            inside[:, of_stratum] = ranks < n_inside
        yield inside


def _rates(groups: _Groups, inside: np.ndarray) -> np.ndarray:
    """Return the shares that are called right, (2, b, 1 + k), inside and outside; NaN where there is no image."""
    hits, images = (inside @ one for one in (groups.hits, groups.images))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(
            [hits / images, (groups.hits.sum(axis=0) - hits) / (groups.images.sum(axis=0) - images)],
        )
