"""What is measured, on arrays; classes in ``CLASS_ORDER`` throughout.

``class_index`` is int (n,), 0-based; ``probs`` is float (n, k); a confusion matrix is (…, k, k) with true classes in
rows and predicted ones in columns, so the rates below also work on a stack of them.

What cannot be known is NaN, never 0 or 1: the sensitivity of a class without images, the precision of a class
never predicted, the AUC of a class that has no image or every image. Means leave NaN out, and are NaN where nothing
is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import auc as area_under
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from lesion_core.errors import DataError
from lesion_core.labels import CLASS_ORDER, MALIGNANT, N_CLASSES, Diagnosis

N_BINS = 15
SUM_THRESHOLD = 0.5  # of a summed probability, from which on an image is called malignant
MALIGNANT_INDICES = tuple(CLASS_ORDER.index(item) for item in MALIGNANT)
MELANOMA_INDEX = CLASS_ORDER.index(Diagnosis.MEL)
# Classes whose probabilities are added up, by the name of the sum.
SUMS: Mapping[str, tuple[int, ...]] = {
    "malignant": MALIGNANT_INDICES,
    "malignant_or_ak": tuple(sorted((*MALIGNANT_INDICES, CLASS_ORDER.index(Diagnosis.AK)))),
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Per-class rates of a stack of confusion matrices; each array is float (…, k), NaN where undefined."""

    sensitivity: np.ndarray
    specificity: np.ndarray
    precision: np.ndarray
    npv: np.ndarray
    f1: np.ndarray


@dataclass(frozen=True, slots=True)
class RocCurve:
    """One class against the rest: false and true positive rates from (0, 0) to (1, 1), and the area."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    auc: float

    def sensitivity_at(self, specificity: float) -> float:
        """Return the best sensitivity of any threshold with at least this specificity; nothing is interpolated."""
        allowed = self.false_positive_rate <= 1 - specificity + 1e-12
        return float(self.true_positive_rate[allowed].max())


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """One class against the rest: recall (sensitivity) from 1 down to 0, the precision of each, and their area.

    The area is the average precision: each step's precision weighted by its rise in recall. Lines between the points
    would be too optimistic (Davis and Goadrich 2006, doi:10.1145/1143844.1143874).
    """

    recall: np.ndarray
    precision: np.ndarray
    average_precision: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Sums over equal-width bins of the leading probability; each array is (…, n_bins)."""

    count: np.ndarray
    confidence_sum: np.ndarray
    correct_sum: np.ndarray


def confusion_matrix(class_index: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return counts, int64 (k, k): true classes in rows, predicted ones in columns.

    Raises:
        DataError: The lengths differ, or a class is out of range.
    """
    true, predicted = _indices(class_index), _indices(predicted)
    if true.shape != predicted.shape:
        raise DataError(f"expected as many predictions as images, got {len(predicted)} for {len(true)}")
    cells = np.bincount(true * N_CLASSES + predicted, minlength=N_CLASSES**2)
    return cells.reshape(N_CLASSES, N_CLASSES)


def class_rates(confusion: np.ndarray) -> Rates:
    """Return every class's rates, one against the rest.

    F1 is NaN for a class without images, and 0 for one that has images and no hit.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = support.sum(axis=-1, keepdims=True)
    true_negatives = total - support - predicted + hits
    return Rates(
        sensitivity=_ratio(hits, support),
        specificity=_ratio(true_negatives, total - support),
        precision=_ratio(hits, predicted),
        npv=_ratio(true_negatives, total - predicted),
        f1=np.where(support > 0, _ratio(2 * hits, support + predicted), np.nan),
    )


def balanced_accuracy_of(confusion: np.ndarray) -> np.ndarray:
    """Return the mean sensitivity of the classes present, (…,); NaN for an empty matrix."""
    return mean_known(class_rates(confusion).sensitivity)


def balanced_accuracy(class_index: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean sensitivity of the classes present (the ISIC 2019 score).

    NaN for no images. The chance level is 1 / number of classes present.
    """
    return float(balanced_accuracy_of(confusion_matrix(class_index, predicted)))


def accuracy_of(confusion: np.ndarray) -> np.ndarray:
    """Return the share of images predicted right, (…,)."""
    hits = np.trace(confusion, axis1=-2, axis2=-1)
    return _ratio(hits, confusion.sum(axis=(-2, -1)))


def malignant_rates(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sensitivity and specificity, each (…,), for MEL, BCC and SCC pooled.

    An image counts as predicted malignant where its most probable class is any of the three; taking one cancer
    for another is no miss here.
    """
    is_malignant = np.isin(np.arange(N_CLASSES), MALIGNANT_INDICES)
    found = confusion[..., is_malignant, :][..., is_malignant].sum(axis=(-2, -1))
    cleared = confusion[..., ~is_malignant, :][..., ~is_malignant].sum(axis=(-2, -1))
    n_malignant = confusion[..., is_malignant, :].sum(axis=(-2, -1))
    n_others = confusion[..., ~is_malignant, :].sum(axis=(-2, -1))
    return _ratio(found, n_malignant), _ratio(cleared, n_others)


def roc_of(class_index: np.ndarray, probs: np.ndarray, position: int) -> RocCurve | None:
    """Return the ROC curve of the class at ``position`` against the rest.

    ``None`` where the class has no image or every image.
    """
    is_class = _indices(class_index) == position
    if is_class.all() or not is_class.any():
        return None
    false_positive, true_positive, _ = roc_curve(
        is_class,
        _scores(probs, is_class)[:, position],
        drop_intermediate=False,  # a point on a straight piece is an operating point all the same
    )
    return RocCurve(false_positive, true_positive, float(area_under(false_positive, true_positive)))


def precision_recall_of(class_index: np.ndarray, probs: np.ndarray, position: int) -> PrecisionRecallCurve | None:
    """Return the precision-recall curve of the class at ``position`` against the rest.

    ``None`` where the class has no image or every image.
    """
    is_class = _indices(class_index) == position
    if is_class.all() or not is_class.any():
        return None
    scores = _scores(probs, is_class)[:, position]
    precision, recall, _ = precision_recall_curve(is_class, scores)
    return PrecisionRecallCurve(recall, precision, float(average_precision_score(is_class, scores)))


def summed_probability(probs: np.ndarray, members: Sequence[int]) -> np.ndarray:
    """Return the probability that an image is of any of some classes, float64 (n,), from ``probs`` (n, k)."""
    return np.asarray(probs, np.float64)[:, list(members)].sum(axis=1)


def decisions_of_sums(class_index: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return each image's cell of a table by each of ``SUMS``, int (n, 2): 2 · is of these classes + is called so.

    It is called so where the summed probability is ``SUM_THRESHOLD`` or more.
    """
    true = _indices(class_index)
    probs = _scores(probs, true)
    cells = [
        2 * np.isin(true, members) + (summed_probability(probs, members) >= SUM_THRESHOLD)
        for members in SUMS.values()
    ]
    return np.stack(cells, axis=1).astype(np.int64)


def rates_of_decisions(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sensitivity and specificity, each (…,), of counts (…, 4) by the cells of ``decisions_of_sums``."""
    cleared, alarms, missed, found = (counts[..., cell] for cell in range(4))
    return _ratio(found, found + missed), _ratio(cleared, cleared + alarms)


def shares_of_true_class(confusion: np.ndarray) -> np.ndarray:
    """Return a confusion matrix with rows that sum to 1, float (…, k, k); a class without images has NaN."""
    return _ratio(confusion, confusion.sum(axis=-1, keepdims=True))


def class_aucs(class_index: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return the one-vs-rest area under the ROC curve of every class, (k,), NaN where there is no curve."""
    curves = [roc_of(class_index, probs, position) for position in range(N_CLASSES)]
    return np.array([np.nan if curve is None else curve.auc for curve in curves])


def brier_terms(class_index: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return each image's Brier score, (n,): squared distance of probabilities and truth over all classes, 0 to 2.

    Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    true = _indices(class_index)
    return ((_scores(probs, true) - np.eye(N_CLASSES)[true]) ** 2).sum(axis=1)


def log_loss_terms(class_index: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return each image's negative log likelihood in nats, (n,); probabilities below 1e-12 count as that."""
    true = _indices(class_index)
    return -np.log(np.maximum(_scores(probs, true)[np.arange(len(true)), true], 1e-12))


def reliability_bin(probs: np.ndarray, *, n_bins: int = N_BINS) -> np.ndarray:
    """Return the bin of each image's leading probability, int (n,)."""
    return np.minimum((probs.max(axis=1) * n_bins).astype(np.int64), n_bins - 1)


def reliability(class_index: np.ndarray, probs: np.ndarray, *, n_bins: int = N_BINS) -> Reliability:
    """Return how often the leading class is right, by how probable it was said to be."""
    true = _indices(class_index)
    probs = _scores(probs, true)
    if not len(true):
        return Reliability(np.zeros(n_bins), np.zeros(n_bins), np.zeros(n_bins))
    bins = reliability_bin(probs, n_bins=n_bins)
    correct = (probs.argmax(axis=1) == true).astype(np.float64)
    return Reliability(
        count=np.bincount(bins, minlength=n_bins).astype(np.float64),
        confidence_sum=np.bincount(bins, probs.max(axis=1), minlength=n_bins),
        correct_sum=np.bincount(bins, correct, minlength=n_bins),
    )


def calibration_error_of(bins: Reliability) -> np.ndarray:
    """Return the expected calibration error, (…,), 0 to 1 (Guo et al. 2017, arXiv:1706.04599; 15 equal bins)."""
    gaps = np.abs(bins.confidence_sum - bins.correct_sum).sum(axis=-1)
    return _ratio(gaps, bins.count.sum(axis=-1))


def mean_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


def _indices(class_index: np.ndarray) -> np.ndarray:
    array = np.asarray(class_index).astype(np.int64)
    if array.ndim != 1 or (array.size and not (array.min() >= 0 and array.max() < N_CLASSES)):
        raise DataError(
            f"expected class positions from 0 to {N_CLASSES - 1} in one dimension, got shape {array.shape} with "
            f"values {np.unique(array)[:12].tolist()}"
        )
    return array


def _scores(probs: np.ndarray, class_index: np.ndarray) -> np.ndarray:
    array = np.asarray(probs, np.float64)
    if array.shape != (len(class_index), N_CLASSES) or not np.isfinite(array).all():
        raise DataError(
            f"expected finite probabilities of shape ({len(class_index)}, {N_CLASSES}), got shape {array.shape}"
            + (" with NaN or infinity" if not np.isfinite(array).all() else "")
        )
    return array
