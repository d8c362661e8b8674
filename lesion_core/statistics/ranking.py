"""What depends on the order of scores: areas under curves, and rates at a stated sensitivity or specificity.

A resample gives every group a weight. An image weighs what its group does, so with the scores sorted once, everything
here follows from two running sums: of the images that are looked for, and of the others that rank above each of them.
Images of one group and one place in the order are added up once, in a sparse matrix; a resample is then one product.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

SCREENING_SPECIFICITY = 0.80
SPECIFICITIES = (SCREENING_SPECIFICITY, 0.90, 0.95)
SENSITIVITIES = (0.80, 0.90, 0.95)
PARTIAL_AUC_SENSITIVITY = 0.80  # ISIC 2024's
_EDGE = 1e-9
_Columns = Mapping[float, np.ndarray]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Of each of b resamples and each of c scores, float (b, c); NaN where there is nothing to find, or nothing else.

    Attributes:
        auc: Area under the ROC curve.
        average_precision: Area under the precision-recall curve: each step's precision, weighted by its rise in
            sensitivity; nothing is interpolated (as scikit-learn's ``average_precision_score``).
        partial_auc: Area between the ROC curve and the line of sensitivity 0.8, 0 to 0.2 (the score of ISIC 2024,
            https://www.kaggle.com/competitions/isic-2024-challenge/overview/evaluation).
        sensitivity_at: By each of ``SPECIFICITIES``: the best of any threshold with at least that specificity.
        specificity_at: By each of ``SENSITIVITIES``: the best of any threshold with at least that sensitivity.
    """

    auc: np.ndarray
    average_precision: np.ndarray
    partial_auc: np.ndarray
    sensitivity_at: _Columns
    specificity_at: _Columns


@dataclass(frozen=True, slots=True)
class Ranking:
    """All that is ranked.

    Attributes:
        by_class: Each class against the rest by its probability, (b, k).
        sums: Each of ``metrics.SUMS`` against the rest by its summed probability, (b, 2).
    """

    by_class: Ranks
    sums: Ranks


def laid_side_by_side(scores: Sequence[Ranks]) -> Ranks:
    """Return one ``Ranks`` of several scores' columns."""
    return _joined(scores, lambda parts: np.concatenate(parts, axis=1))


def laid_end_to_end(pieces: Sequence[Ranks]) -> Ranks:
    """Return one ``Ranks`` of several pieces' resamples."""
    return _joined(pieces, np.concatenate)


def _joined(parts: Sequence[Ranks], join: Callable[[Sequence[np.ndarray]], np.ndarray]) -> Ranks:
    return Ranks(
        auc=join([part.auc for part in parts]),
        average_precision=join([part.average_precision for part in parts]),
        partial_auc=join([part.partial_auc for part in parts]),
        sensitivity_at={level: join([part.sensitivity_at[level] for part in parts]) for level in SPECIFICITIES},
        specificity_at={level: join([part.specificity_at[level] for part in parts]) for level in SENSITIVITIES},
    )


@dataclass(frozen=True, slots=True)
class Ranked:
    """One score, sorted; its m steps are the different scores of the images looked for, the highest first.

    Attributes:
        hits: Images looked for, of each step and group, (m, g).
        alarms: Other images above the step and not above the one before, (m, g).
        ties: Other images of the very score of the step, (m, g).
        others: Other images of each group, (g,).
    """

    hits: csr_array
    alarms: csr_array
    ties: csr_array
    others: np.ndarray

    @classmethod
    def of(cls, is_sought: np.ndarray, scores: np.ndarray, codes: np.ndarray, n_groups: int) -> "Ranked":
        """Sort a score.

        Args:
            is_sought: bool (n,), the images to find.
            scores: float (n,), the higher the surer.
            codes: int (n,), group of each image, 0-based.
            n_groups: g.
        """
        falling, step = np.unique(-scores[is_sought], return_inverse=True)
        others, of_others = -scores[~is_sought], codes[~is_sought]
        before = np.searchsorted(falling, others, side="right")  # an equal score is above the next step only
        is_tied = np.searchsorted(falling, others, side="left") < before
        shape = (len(falling), n_groups)
        return cls(
            _counted(step, codes[is_sought], shape),
            _counted(before, of_others, shape),
            _counted(before[is_tied] - 1, of_others[is_tied], shape),
            np.bincount(of_others, minlength=n_groups).astype(np.float64),
        )

    def measure(self, weights: np.ndarray) -> Ranks:
        """Return what is measured with groups weighted by ``weights``, float (g, b), as columns (b, 1)."""
        if not len(self.others) or not self.hits.shape[0] or not self.others.any():
            return _unknown(weights.shape[1])
        hits, above = self.hits @ weights, _running_sum(self.alarms @ weights)
        tied = above + self.ties @ weights if self.ties.nnz else above
        steps = _Steps(hits, _running_sum(hits.copy()), above, tied, self.others @ weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            return steps.ranks()


@dataclass(frozen=True, slots=True)
class _Steps:
    """Of each step and resample, (m, b): images found there, up to there, others above, and up to there."""

    hits: np.ndarray
    found: np.ndarray
    above: np.ndarray
    tied: np.ndarray
    n_others: np.ndarray

    def ranks(self) -> Ranks:
        n_sought = self.found[-1]
        return Ranks(
            auc=self._known(self._area() / (n_sought * self.n_others)),
            average_precision=self._known(self._precision() / n_sought),
            partial_auc=self._known(self._partial_area() / (n_sought * self.n_others)),
            sensitivity_at={level: self._known(self._sensitivity(level)) for level in SPECIFICITIES},
            specificity_at={level: self._known(self._specificity(level)) for level in SENSITIVITIES},
        )

    def _known(self, values: np.ndarray) -> np.ndarray:
        return np.where((self.n_others > 0) & (self.found[-1] > 0), values, np.nan)[:, None]

    def _area(self) -> np.ndarray:
        """Add up the pairs that are ranked right; one half where they tie."""
        wrong = np.einsum("mb,mb->b", self.hits, self.above)
        if self.tied is not self.above:
            wrong = (wrong + np.einsum("mb,mb->b", self.hits, self.tied)) / 2
        return self.found[-1] * self.n_others - wrong

    def _precision(self) -> np.ndarray:
        called = self.found + self.tied
        np.divide(self.found, called, out=called, where=called > 0)
        return np.einsum("mb,mb->b", self.hits, called)

    def _partial_area(self) -> np.ndarray:
        """Add up the same pairs of what is found beyond the sensitivity; within ties the curve is a straight line."""
        surplus = self.found - PARTIAL_AUC_SENSITIVITY * self.found[-1]
        first = int((surplus <= 0).all(axis=1).sum())
        hits, above, tied = self.hits[first:], self.above[first:], self.tied[first:]
        counted = np.clip(surplus[first:], 0, hits)
        area = np.einsum("mb,mb->b", counted, self.n_others - tied)
        if self.tied is not self.above:
            share = np.divide(counted, hits, out=np.zeros_like(hits), where=hits > 0)
            area += np.einsum("mb,mb,mb->b", counted, share, tied - above) / 2
        return area

    def _sensitivity(self, specificity: float) -> np.ndarray:
        n_allowed = (self.tied <= (1 - specificity + _EDGE) * self.n_others).sum(axis=0)
        at = np.take_along_axis(self.found, np.maximum(n_allowed - 1, 0)[None], axis=0)[0]
        return np.where(n_allowed > 0, at, 0.0) / self.found[-1]

    def _specificity(self, sensitivity: float) -> np.ndarray:
        enough = (self.found < (sensitivity - _EDGE) * self.found[-1]).sum(axis=0)
        at = np.take_along_axis(self.tied, np.minimum(enough, len(self.tied) - 1)[None], axis=0)[0]
        return 1 - at / self.n_others


def _running_sum(rows: np.ndarray) -> np.ndarray:
    """Turn rows (m, b) into their running sums, in place; return them.

    In blocks of about the square root of m rows: ``numpy.cumsum`` goes down one column at a time, which is many times
    slower in memory that lies row by row.
    """
    size = math.isqrt(len(rows)) + 1
    whole = len(rows) // size * size
    blocks = rows[:whole].reshape(-1, size, rows.shape[1])
    for place in range(1, size):
        blocks[:, place] += blocks[:, place - 1]
    for place in range(1, len(blocks)):
        blocks[place] += blocks[place - 1, -1]
    for place in range(max(whole, 1), len(rows)):
        rows[place] += rows[place - 1]
    return rows


def _counted(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_array:
    is_in = rows < shape[0]  # others below the last step are never above one
    ones = np.ones(int(is_in.sum()))
    return csr_array((ones, (rows[is_in], columns[is_in])), shape=shape)


def _unknown(n: int) -> Ranks:
    nothing = np.full((n, 1), np.nan)
    return Ranks(
        nothing,
        nothing,
        nothing,
        dict.fromkeys(SPECIFICITIES, nothing),
        dict.fromkeys(SENSITIVITIES, nothing),
    )
