"""Intervals of what depends on the order of scores: AUC, and sensitivity at a given specificity.

A resample gives every image the weight of how often its group was drawn; with the scores sorted once, it needs one
cumulative sum. Groups are resampled as in ``intervals``.
"""

from dataclasses import dataclass

import numpy as np

from lesion_core.labels import N_CLASSES
from lesion_core.statistics.intervals import OnDrawn, draw_groups, group_codes, ignore_draws, strata_of
from lesion_core.statistics.measures import Ranking
from lesion_core.statistics.metrics import SCREENING_SPECIFICITY, roc_of

_EDGE = 1e-9


def measure_ranking(class_index: np.ndarray, probs: np.ndarray) -> Ranking:
    """Return what is measured on the images themselves, as one row (1, k), at ``SCREENING_SPECIFICITY``."""
    curves = [roc_of(class_index, probs, position) for position in range(N_CLASSES)]
    return Ranking(
        auc=np.array([[np.nan if curve is None else curve.auc for curve in curves]]),
        sensitivity=np.array(
            [[np.nan if curve is None else curve.sensitivity_at(SCREENING_SPECIFICITY) for curve in curves]]
        ),
    )


def resample_ranking(
    class_index: np.ndarray,
    probs: np.ndarray,
    groups: np.ndarray,
    *,
    specificity: float,
    n_bootstrap: int,
    seed: int,
    on_drawn: OnDrawn = ignore_draws,
) -> Ranking:
    """Resample groups and rank each class against the rest.

    Args:
        class_index: int (n,), 0-based.
        probs: float (n, k).
        groups: (n,) group of each image.
        specificity: At least this for the sensitivity; no threshold is interpolated.
        n_bootstrap: Resamples.
        seed: Same seed, same groups drawn as in ``intervals.measure``.
        on_drawn: Hears of so many more resamples done.

    Returns:
        NaN for a resample in which a class has no image or every image.
    """
    codes = group_codes(groups)
    ranked = [_Ranked.of(class_index == position, probs[:, position]) for position in range(probs.shape[1])]
    aucs, sensitivities = [], []
    for drawn in draw_groups(strata_of(class_index, codes), n_bootstrap, seed):
        weights = np.ascontiguousarray(drawn.T)[codes]
        pairs = [one.measure(weights, specificity) for one in ranked]
        aucs.append(np.stack([auc for auc, _ in pairs], axis=1))
        sensitivities.append(np.stack([sensitivity for _, sensitivity in pairs], axis=1))
        on_drawn(len(drawn))
    return Ranking(np.concatenate(aucs), np.concatenate(sensitivities))


@dataclass(frozen=True, slots=True)
class _Ranked:
    """One class's images, the others from the highest score down, and how many of those rank above each image."""

    of_class: np.ndarray
    others: np.ndarray
    n_above: np.ndarray
    n_above_or_tied: np.ndarray

    @classmethod
    def of(cls, is_class: np.ndarray, scores: np.ndarray) -> "_Ranked":
        of_class, others = np.flatnonzero(is_class), np.flatnonzero(~is_class)
        others = others[np.argsort(-scores[others], kind="stable")]
        falling = -scores[others]
        return cls(
            of_class,
            others,
            np.searchsorted(falling, -scores[of_class], side="left"),
            np.searchsorted(falling, -scores[of_class], side="right"),
        )

    def measure(self, weights: np.ndarray, specificity: float) -> tuple[np.ndarray, np.ndarray]:
        """Return area and sensitivity, each (b,), with images weighted by ``weights`` (n, b)."""
        own = weights[self.of_class]
        alarms = np.zeros((len(self.others) + 1, weights.shape[1]))
        np.cumsum(weights[self.others], axis=0, out=alarms[1:])
        n_class, n_rest = own.sum(axis=0), alarms[-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            # A pair of one image of the class and one other is ranked right, or counts half where they tie.
            wrong = (alarms[self.n_above] + alarms[self.n_above_or_tied]) / 2
            auc = (own * (n_rest - wrong)).sum(axis=0) / (n_class * n_rest)
            # An image of the class can be found if a threshold at its own score raises few enough alarms.
            is_found = alarms[self.n_above_or_tied] <= (1 - specificity + _EDGE) * n_rest
            sensitivity = (own * is_found).sum(axis=0) / n_class
        return auc, np.where(n_rest > 0, sensitivity, np.nan)
