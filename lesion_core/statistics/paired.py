"""Two models on the same images: how much better or worse, and how sure.

Both models' predictions are resampled with the same groups, so what is hard for both cancels out and the interval
of the difference is narrower than the two intervals laid side by side. Where a class has few groups, the interval is
by formula, class by class (``estimates.paired_share_interval``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from lesion_core.errors import DataError
from lesion_core.labels import N_CLASSES
from lesion_core.statistics.estimates import (
    MIN_GROUPS_OF_A_SHARE,
    Estimate,
    known,
    paired_share_interval,
    percentile_interval,
)
from lesion_core.statistics.intervals import draw_groups, effective_groups, group_codes, strata_of
from lesion_core.statistics.metrics import MALIGNANT_INDICES, balanced_accuracy_of, malignant_rates
from lesion_core.types import Value


class Difference(Value):
    """One number of both models, and candidate minus reference with its 95 % interval."""

    candidate: float | None
    reference: float | None
    difference: Estimate


class Comparison(Value):
    """A candidate against a reference on the same images."""

    n_images: int = Field(ge=1)
    n_groups: int = Field(ge=1)
    balanced_accuracy: Difference
    malignant_sensitivity: Difference


def paired_difference(
    class_index: np.ndarray,
    candidate: np.ndarray,
    reference: np.ndarray,
    groups: np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 7,
) -> Comparison:
    """Compare two models' predicted classes on the same images by the paired group bootstrap.

    Args:
        class_index: int (n,), the truth, 0-based.
        candidate: int (n,), predicted by the new model.
        reference: int (n,), predicted by the one it is compared with, for the same images in the same order.
        groups: (n,) group of each image.
        n_bootstrap: Resamples.
        seed: Same seed, same interval.

    Raises:
        DataError: No images, or lengths that differ.
    """
    if not len(class_index) or len({len(class_index), len(candidate), len(reference), len(groups)}) != 1:
        raise DataError(
            f"expected predictions of both models for the same images, got {len(candidate)} and {len(reference)} "
            f"for {len(class_index)} images"
        )
    codes = group_codes(groups)
    strata = strata_of(np.asarray(class_index, np.int64), codes)
    n_groups = len(strata)
    sums = [_confusion_by_group(class_index, predicted, codes, n_groups) for predicted in (candidate, reference)]
    measured = [_statistics(one.sum(axis=0, keepdims=True)) for one in sums]
    drawn = [[_statistics(draw @ one) for one in sums] for draw in draw_groups(strata, n_bootstrap, seed)]
    balanced, malignant = (
        _difference(
            float(measured[0][place, 0]),
            float(measured[1][place, 0]),
            np.concatenate([new[place] - old[place] for new, old in drawn]),
        )
        for place in range(2)
    )
    if not np.array_equal(candidate, reference):  # else the difference is nothing, whatever the images
        answers = _Answers(np.asarray(class_index), np.asarray(candidate), np.asarray(reference), codes)
        balanced = _with_parts(balanced, [answers.right(place) for place in range(N_CLASSES)])
        malignant = _with_parts(malignant, [answers.malignant()])
    return Comparison(
        n_images=len(class_index), n_groups=n_groups, balanced_accuracy=balanced, malignant_sensitivity=malignant
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Images of a share: whether each model is right, bool (n,), and how many groups they are worth."""

    candidate: np.ndarray
    reference: np.ndarray
    n_groups: float


@dataclass(frozen=True, slots=True)
class _Answers:
    true: np.ndarray
    candidate: np.ndarray
    reference: np.ndarray
    codes: np.ndarray

    def right(self, position: int) -> _Part:
        """Return who recognises images of a class."""
        return self._part(self.true == position, [position])

    def malignant(self) -> _Part:
        """Return who calls malignant images malignant."""
        return self._part(np.isin(self.true, MALIGNANT_INDICES), MALIGNANT_INDICES)

    def _part(self, chosen: np.ndarray, right: Sequence[int]) -> _Part:
        return _Part(
            np.isin(self.candidate[chosen], right),
            np.isin(self.reference[chosen], right),
            effective_groups(self.codes[chosen]),
        )


def _with_parts(found: Difference, parts: Sequence[_Part]) -> Difference:
    """Return a difference of means of shares, with the parts' intervals where one of them has few groups."""
    used = [part for part in parts if part.n_groups]
    value = found.difference.value
    if value is None or min(part.n_groups for part in used) >= MIN_GROUPS_OF_A_SHARE:
        return found
    below, above = [], []
    for part in used:
        low, high = paired_share_interval(part.candidate, part.reference, part.n_groups)
        own = float(part.candidate.mean() - part.reference.mean())
        below.append(own - low)
        above.append(high - own)
    interval = Estimate(
        value=value,
        low=max(-1.0, value - math.hypot(*below) / len(used)),
        high=min(1.0, value + math.hypot(*above) / len(used)),
        method="combined",
    )
    return found.model_copy(update={"difference": interval})


def _confusion_by_group(
    class_index: np.ndarray, predicted: np.ndarray, codes: np.ndarray, n_groups: int
) -> np.ndarray:
    cells = np.asarray(class_index, np.int64) * N_CLASSES + np.asarray(predicted, np.int64)
    counts = np.bincount(codes * N_CLASSES**2 + cells, minlength=n_groups * N_CLASSES**2)
    return counts.reshape(n_groups, N_CLASSES**2).astype(np.float64)


def _statistics(sums: np.ndarray) -> np.ndarray:
    """Return balanced accuracy and malignant sensitivity, (2, b), of summed confusion counts (b, k²)."""
    confusion = sums.reshape(-1, N_CLASSES, N_CLASSES)
    return np.stack([balanced_accuracy_of(confusion), malignant_rates(confusion)[0]])


def _difference(candidate: float, reference: float, draws: np.ndarray) -> Difference:
    low, high = percentile_interval(draws)
    method = "none" if low is None else "group bootstrap"
    return Difference(
        candidate=known(candidate),
        reference=known(reference),
        difference=Estimate(value=known(candidate - reference), low=low, high=high, method=method),
    )
