"""The score of the ISIC 2019 challenge, as its organisers compute it.

The definitions are those of ``isic-challenge-scoring`` 5.6 (Apache-2.0,
https://github.com/ImageMarkup/isic-challenge-scoring, ``classification.py`` and ``metrics.py``), written anew; the
tests hold both against each other. They differ from those of a report (``statistics.metrics``):

- An image whose highest probability is shared by several categories is undecided, and so is wrong.
- Sensitivity, specificity, Dice, PPV and NPV of a category call an image positive where the category's probability is
  above 0.5, whether it leads or not.
- PPV without a positive call and NPV without a negative call count as 1; ``CategoryScore.set_to_one`` names them.
- There is no interval: images count, not groups.

Of a category without an image the organisers' program gives no number: it ends with an error. Here such numbers are
NaN, and means leave them out, as the organisers' balanced accuracy does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import auc as area_under
from sklearn.metrics import average_precision_score, roc_curve

from lesion_core.errors import DataError
from lesion_core.statistics.metrics import mean_known

THRESHOLD = 0.5
LEAST_SENSITIVITY = 0.80
NUMBERS = (
    "accuracy",
    "sensitivity",
    "specificity",
    "dice",
    "ppv",
    "npv",
    "auc",
    "auc_sens_80",
    "ap",
)


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """One category against the rest; each number 0 to 1, NaN where it cannot be known.

    Attributes:
        category: Its name.
        n_images: Images of it that have a weight above 0.
        accuracy: Weighted share of images on the right side of the threshold 0.5; so for the five that follow.
        sensitivity: Of the category's images. NaN without any.
        specificity: Of the other images. NaN without any.
        dice: 2 TP / (2 TP + FP + FN), which is F1. NaN without an image of the category.
        ppv: Positive predictive value; 1 where nothing is called positive.
        npv: Negative predictive value; 1 where nothing is called negative.
        auc: Area under the ROC curve. NaN where the category has no image or every image.
        auc_sens_80: Area under the part of the ROC curve with a sensitivity of 0.80 or more, not rescaled: 1 at best,
            0.18 for guessing. NaN as ``auc``.
        ap: Average precision, without interpolation (``sklearn.metrics.average_precision_score``). NaN without an
            image of the category.
        set_to_one: Which of the numbers are 1 by the organisers' convention, with nothing to measure.
    """

    category: str
    n_images: int
    accuracy: float
    sensitivity: float
    specificity: float
    dice: float
    ppv: float
    npv: float
    auc: float
    auc_sens_80: float
    ap: float
    set_to_one: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChallengeScore:
    """All numbers of one submission.

    Attributes:
        balanced_accuracy: Mean over the categories with images of the weighted share that is called right; the
            challenge ranked by it. NaN without images.
        categories: One for each, in the order of the columns.
        n_images: Images with a weight above 0.
        n_undecided: Of these, images whose highest probability is shared by several categories.
    """

    balanced_accuracy: float
    categories: tuple[CategoryScore, ...]
    n_images: int
    n_undecided: int

    @property
    def absent(self) -> tuple[str, ...]:
        """Categories without an image."""
        return tuple(one.category for one in self.categories if not one.n_images)

    def mean(self, name: str) -> float:
        """Return the mean over the categories of one of ``NUMBERS``; what is NaN is left out."""
        return float(mean_known(np.array([getattr(one, name) for one in self.categories])))


def challenge_score(
    truth: np.ndarray, probs: np.ndarray, categories: Sequence[str], weights: np.ndarray | None = None
) -> ChallengeScore:
    """Return the organisers' score of n images in c categories.

    Args:
        truth: Category of each image, int (n,), 0-based.
        probs: float (n, c), each 0 to 1; rows need not sum to 1.
        categories: Names, in the order of the columns of ``probs``.
        weights: What each image counts (``score_weight`` in the organisers' files), float (n,), 0 or more; ``None``:
            1 each.

    Raises:
        DataError: Shapes differ, a category is out of range, a probability lies outside 0 to 1, or a weight below 0.
    """
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)
    truth, probs = np.asarray(truth, np.int64), np.asarray(probs, np.float64)
    _check(truth, probs, weights, len(categories))
    counts = weights > 0
    truth, probs, weights = truth[counts], probs[counts], weights[counts]
    called = _called(probs)
    return ChallengeScore(
        balanced_accuracy=_balanced_accuracy(truth, called, weights, len(categories)),
        categories=tuple(
            _category_score(name, truth == place, probs[:, place], weights) for place, name in enumerate(categories)
        ),
        n_images=len(truth),
        n_undecided=int((called < 0).sum()),
    )


def _called(probs: np.ndarray) -> np.ndarray:
    """Return the leading category of each image, int (n,); -1 where several lead."""
    if not len(probs):
        return np.zeros(0, np.int64)
    n_leading = (probs == probs.max(axis=1, keepdims=True)).sum(axis=1)
    return np.where(n_leading == 1, probs.argmax(axis=1), -1)


def _balanced_accuracy(truth: np.ndarray, called: np.ndarray, weights: np.ndarray, n_categories: int) -> float:
    support = np.bincount(truth, weights, minlength=n_categories)
    hits = np.bincount(truth, weights * (truth == called), minlength=n_categories)
    return float(mean_known(np.array([_share(hit, whole) for hit, whole in zip(hits, support, strict=True)])))


def _category_score(category: str, is_category: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> CategoryScore:
    numbers = {**_rates(is_category, scores > THRESHOLD, weights), **_ranks(is_category, scores, weights)}
    set_to_one = tuple(name for name in ("ppv", "npv") if len(weights) and np.isnan(numbers[name]))
    numbers |= dict.fromkeys(set_to_one, 1.0)
    return CategoryScore(category, int(is_category.sum()), **numbers, set_to_one=set_to_one)


def _rates(is_category: np.ndarray, is_called: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    tp, fn = weights[is_category & is_called].sum(), weights[is_category & ~is_called].sum()
    fp, tn = weights[~is_category & is_called].sum(), weights[~is_category & ~is_called].sum()
    return {
        "accuracy": _share(tp + tn, tp + tn + fp + fn),
        "sensitivity": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "dice": _share(2 * tp, 2 * tp + fp + fn) if is_category.any() else np.nan,
        "ppv": _share(tp, tp + fp),
        "npv": _share(tn, tn + fn),
    }


def _ranks(is_category: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    if not is_category.any():
        return dict.fromkeys(("auc", "auc_sens_80", "ap"), np.nan)
    return {
        "auc": _area(is_category, scores, weights, 0.0),
        "auc_sens_80": _area(is_category, scores, weights, LEAST_SENSITIVITY),
        "ap": float(average_precision_score(is_category, scores, sample_weight=weights)),
    }


def _area(is_category: np.ndarray, scores: np.ndarray, weights: np.ndarray, least: float) -> float:
    """Return the area under the part of the ROC curve with at least this sensitivity, which begins on the curve."""
    if is_category.all():
        return np.nan
    false_positive, true_positive, _ = roc_curve(is_category, scores, sample_weight=weights, drop_intermediate=False)
    if least <= 0:
        return float(area_under(false_positive, true_positive))
    first = int(np.searchsorted(true_positive, least))  # at least 1, since the curve begins at (0, 0)
    rise = (least - true_positive[first - 1]) / (true_positive[first] - true_positive[first - 1])
    begin = false_positive[first - 1] + rise * (false_positive[first] - false_positive[first - 1])
    return float(area_under(np.r_[begin, false_positive[first:]], np.r_[least, true_positive[first:]]))


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.nan


def _check(truth: np.ndarray, probs: np.ndarray, weights: np.ndarray, n_categories: int) -> None:
    if truth.ndim != 1 or probs.shape != (len(truth), n_categories) or weights.shape != truth.shape:
        raise DataError(
            f"expected categories (n,), probabilities (n, {n_categories}) and weights (n,), got shapes "
            f"{truth.shape}, {probs.shape} and {weights.shape}; give a row per image and a column per category"
        )
    if len(truth) and not (truth.min() >= 0 and truth.max() < n_categories):
        raise DataError(
            f"expected categories from 0 to {n_categories - 1}, got {truth.min()} to {truth.max()}; number them in "
            "the order of the columns"
        )
    if not ((probs >= 0) & (probs <= 1)).all():
        raise DataError("expected probabilities from 0 to 1, got others or NaN; apply the softmax first")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError("expected weights of 0 or more, got others or NaN; correct them")
