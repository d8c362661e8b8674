"""What is measured: truth, probabilities and groups, checked before anything is counted."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from lesion_core.errors import DataError
from lesion_core.evaluation.pools import Pool, with_pooled_sums
from lesion_core.labels import N_CLASSES
from lesion_core.statistics.calibration import FLAT, bring_to_shares
from lesion_core.statistics.intervals import effective_groups, group_codes

_TOLERANCE = 1e-3  # of a row's sum; float32 and four decimals both keep it
_MISSING = ("", "nan", "NaN", "None", "<NA>", "NaT")  # as tables write a missing id as text


@dataclass(frozen=True)
class Scored:
    """What is measured.

    Attributes:
        class_index: int (n,), 0-based, n at least 1.
        probs: float (n, k), as the model answers: finite, 0 to 1, rows that sum to 1 within 0.001.
        groups: (n,), of any sortable type, none missing.
        class_prior: float (k,) or, of each row, (n, k): the class shares that ``probs`` stand for.
        pools: Classes that count as one; their images and answers are filed under the first of each.

    Raises:
        DataError: It is not so; the message says what came, and in how many rows.
    """

    class_index: np.ndarray
    probs: np.ndarray
    groups: np.ndarray
    class_prior: np.ndarray = field(default_factory=lambda: FLAT)
    pools: tuple[Pool, ...] = ()

    def __post_init__(self) -> None:
        self._check_shapes()
        _check_classes(self.class_index)
        _check_probs(self.probs)
        _check_groups(self.groups)

    def _check_shapes(self) -> None:
        shapes = tuple(np.shape(one) for one in (self.class_index, self.probs, self.groups, self.class_prior))
        n = len(self.class_index)
        if not n:
            raise DataError("expected at least one image to measure, got none; choose a split that has images")
        if shapes[:3] != ((n,), (n, N_CLASSES), (n,)) or shapes[3] not in ((N_CLASSES,), (n, N_CLASSES)):
            raise DataError(
                f"expected class_index (n,), probs (n, {N_CLASSES}), groups (n,) and class_prior ({N_CLASSES},) or "
                f"(n, {N_CLASSES}) of the same n images, got {', '.join(map(str, shapes))}"
            )

    @property
    def class_shares(self) -> np.ndarray:
        """Return the shares of the classes among these images, float64 (k,)."""
        return np.bincount(self.class_index, minlength=N_CLASSES) / len(self.class_index)

    @cached_property
    def calibrated(self) -> np.ndarray:
        """Return the probabilities for these images' class shares, float64 (n, k).

        How right probabilities are can only be asked in the population that they are for: those of a perfect model
        for a flat prior are wrong by as much as the classes of the images differ in number.
        """
        probs, prior = self.probs, self.class_prior
        if self.pools:
            probs, prior = with_pooled_sums(probs, prior, self.pools)
        return bring_to_shares(probs, prior, self.class_shares)

    def n_groups_of(self, chosen: np.ndarray) -> int:
        """Return how many groups the chosen images, bool (n,), belong to."""
        return int(np.count_nonzero(np.bincount(self._codes[chosen])))

    def effective_groups_of(self, chosen: np.ndarray) -> float:
        """Return how many groups of equal size the chosen images, bool (n,), are worth (``effective_groups``)."""
        return effective_groups(self._codes[chosen])

    @cached_property
    def _codes(self) -> np.ndarray:
        return group_codes(self.groups)


def _check_classes(class_index: np.ndarray) -> None:
    array = np.asarray(class_index)
    if array.dtype.kind not in "iu":
        raise DataError(
            f"expected whole numbers as true classes, got {array.dtype}; leave out images without a label"
        )
    if unknown := sorted(set(np.unique(array).tolist()) - set(range(N_CLASSES))):
        raise DataError(
            f"expected true classes from 0 to {N_CLASSES - 1}, got {unknown[:12]}; leave out images of other "
            "diagnoses"
        )


def _check_probs(probs: np.ndarray) -> None:
    array = np.asarray(probs, np.float64)
    is_bad = np.asarray(~np.isfinite(array).all(axis=1))
    if is_bad.any():
        raise DataError(
            f"expected finite probabilities, got NaN or infinity in {_rows(is_bad)}; the model diverged, or an image "
            "was not answered"
        )
    is_bad = np.asarray((array < -_TOLERANCE).any(axis=1) | (np.abs(array.sum(axis=1) - 1) > _TOLERANCE))
    if is_bad.any():
        raise DataError(
            f"expected probabilities from 0 that sum to 1 within {_TOLERANCE}, got others in {_rows(is_bad)}, the "
            f"first with sum {array[is_bad][0].sum():.6g} and lowest {array[is_bad][0].min():.6g}; apply softmax to "
            "logits"
        )


def _check_groups(groups: np.ndarray) -> None:
    array = np.asarray(groups)
    is_bad = pd.isna(array) | np.isin(array.astype(str), _MISSING)
    if is_bad.any():
        raise DataError(
            f"expected a group of every image, got none in {_rows(is_bad)}; give each image without a known patient "
            "and lesion a group of its own"
        )


def _rows(is_bad: np.ndarray) -> str:
    return f"{int(is_bad.sum()):,} of {len(is_bad):,} rows (first: {int(np.argmax(is_bad))})"
