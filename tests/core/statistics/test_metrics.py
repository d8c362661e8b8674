import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings

from lesion_core.errors import DataError
from lesion_core.labels import CLASS_ORDER, MALIGNANT, N_CLASSES
from lesion_core.statistics import metrics
from tests.core.evaluation.strategies import make_scores, predictions, seeds

quick = settings(max_examples=60, deadline=None)
LABELS = list(range(N_CLASSES))


@quick
@given(predictions())
def test_counts_and_rates_agree_with_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    true, predicted = case
    confusion = metrics.confusion_matrix(true, predicted)
    np.testing.assert_array_equal(confusion, reference.confusion_matrix(true, predicted, labels=LABELS))
    rates = metrics.class_rates(confusion)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        true, predicted, labels=LABELS, zero_division=np.nan
    )
    has_images, is_predicted = support > 0, confusion.sum(axis=0) > 0
    np.testing.assert_allclose(rates.sensitivity[has_images], recall[has_images], rtol=1e-12)
    np.testing.assert_allclose(rates.precision[is_predicted], precision[is_predicted], rtol=1e-12)
    np.testing.assert_allclose(rates.f1[has_images], np.nan_to_num(f1[has_images]), rtol=1e-12)
    assert np.isnan(rates.sensitivity[~has_images]).all()
    assert np.isnan(rates.precision[~is_predicted]).all()
    assert np.isnan(rates.f1[~has_images]).all()
    for place in LABELS:
        # The negative predictive value is the precision of the other answer.
        others = reference.precision_score(true != place, predicted != place, zero_division=np.nan)
        assert rates.npv[place] == pytest.approx(others, rel=1e-12, nan_ok=True)
        outside = reference.recall_score(true != place, predicted != place, zero_division=np.nan)
        assert rates.specificity[place] == pytest.approx(outside, rel=1e-12, nan_ok=True)
    assert float(metrics.accuracy_of(confusion)) == pytest.approx(
        reference.accuracy_score(true, predicted), rel=1e-12
    )
    with np.errstate(invalid="ignore"):
        expected = confusion / confusion.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(metrics.shares_of_true_class(confusion), expected)


@quick
@given(predictions())
def test_balanced_accuracy_is_the_mean_recall_of_the_classes_present(case: tuple[np.ndarray, np.ndarray]) -> None:
    true, predicted = case
    expected = reference.recall_score(true, predicted, labels=np.unique(true), average="macro")
    assert metrics.balanced_accuracy(true, predicted) == pytest.approx(expected, rel=1e-12)


def test_specificity_by_hand() -> None:
    # Class 0 against the rest: of four others, one is called 0.
    true, predicted = np.array([0, 1, 1, 2, 2]), np.array([0, 0, 1, 2, 1])
    rates = metrics.class_rates(metrics.confusion_matrix(true, predicted))
    assert rates.specificity[0] == pytest.approx(3 / 4)
    assert rates.specificity[1] == pytest.approx(2 / 3)
    assert rates.specificity[7] == 1.0
    only_zero = metrics.class_rates(metrics.confusion_matrix(np.zeros(3, int), np.zeros(3, int)))
    assert np.isnan(only_zero.specificity[0])


@quick
@given(seeds)
def test_roc_and_probability_scores_agree_with_scikit_learn(seed: int) -> None:
    true, probs = make_scores(seed)
    probs = probs.astype(np.float64).round(2) + 0.01  # ties
    probs /= probs.sum(axis=1, keepdims=True)
    aucs = metrics.class_aucs(true, probs)
    for position in LABELS:
        is_class, scores = true == position, probs[:, position]
        assert aucs[position] == pytest.approx(reference.roc_auc_score(is_class, scores), rel=1e-12)
        curve = metrics.precision_recall_of(true, probs, position)
        assert curve is not None
        steps = -np.diff(curve.recall) * curve.precision[:-1]
        assert curve.average_precision == pytest.approx(steps.sum(), rel=1e-12)
    assert metrics.brier_terms(true, probs).mean() == pytest.approx(
        reference.brier_score_loss(true, probs, labels=LABELS, scale_by_half=False), rel=1e-12
    )
    assert metrics.log_loss_terms(true, probs).mean() == pytest.approx(
        reference.log_loss(true, probs, labels=LABELS), rel=1e-12
    )


@quick
@given(seeds)
def test_order_of_images_does_not_matter(seed: int) -> None:
    true, probs = make_scores(seed)
    order = np.random.default_rng(seed).permutation(len(true))
    assert _everything(true[order], probs[order]) == pytest.approx(_everything(true, probs), nan_ok=True)


@quick
@given(seeds)
def test_every_image_twice_changes_nothing(seed: int) -> None:
    true, probs = make_scores(seed)
    twice = _everything(np.tile(true, 2), np.tile(probs, (2, 1)))
    assert twice == pytest.approx(_everything(true, probs), nan_ok=True)


@quick
@given(seeds)
def test_renaming_the_classes_renames_the_rates(seed: int) -> None:
    true, probs = make_scores(seed)
    names = np.random.default_rng(seed).permutation(N_CLASSES)  # old class -> new class
    renamed = np.empty_like(probs)
    renamed[:, names] = probs
    before = metrics.class_rates(metrics.confusion_matrix(true, probs.argmax(axis=1)))
    after = metrics.class_rates(metrics.confusion_matrix(names[true], renamed.argmax(axis=1)))
    np.testing.assert_allclose(after.sensitivity[names], before.sensitivity)
    np.testing.assert_allclose(after.specificity[names], before.specificity)
    np.testing.assert_allclose(
        metrics.class_aucs(names[true], renamed)[names], metrics.class_aucs(true, probs), rtol=1e-12
    )
    assert metrics.balanced_accuracy(names[true], renamed.argmax(axis=1)) == pytest.approx(
        metrics.balanced_accuracy(true, probs.argmax(axis=1))
    )


def test_taking_one_cancer_for_another_is_no_miss() -> None:
    mel, nv, bcc = (CLASS_ORDER.index(name) for name in ("MEL", "NV", "BCC"))
    true = np.array([mel, mel, bcc, nv, nv, nv, nv])
    predicted = np.array([bcc, nv, mel, nv, mel, nv, nv])
    sensitivity, specificity = metrics.malignant_rates(metrics.confusion_matrix(true, predicted))
    assert float(sensitivity) == pytest.approx(2 / 3)
    assert float(specificity) == pytest.approx(3 / 4)
    assert {str(CLASS_ORDER[place]) for place in metrics.MALIGNANT_INDICES} == set(map(str, MALIGNANT))


def test_sensitivity_at_a_specificity_takes_a_real_threshold() -> None:
    # Five others: at most one may be called MEL for specificity 0.8.
    true = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    scores = np.array([0.9, 0.6, 0.3, 0.7, 0.5, 0.2, 0.1, 0.1])
    probs = np.zeros((8, N_CLASSES))
    probs[:, 0], probs[:, 1] = scores, 1 - scores
    curve = metrics.roc_of(true, probs, 0)
    assert curve is not None
    assert curve.sensitivity_at(0.8) == pytest.approx(2 / 3)
    assert curve.sensitivity_at(1.0) == pytest.approx(1 / 3)
    assert curve.sensitivity_at(0.0) == 1.0


def test_a_point_on_a_straight_piece_of_the_curve_counts() -> None:
    true = np.array([0, 1, 0, 1, 1, 1])
    probs = np.zeros((6, N_CLASSES))
    probs[:, 0] = [0.9, 0.9, 0.5, 0.5, 0.1, 0.1]
    probs[:, 1] = 1 - probs[:, 0]
    curve = metrics.roc_of(true, probs, 0)
    assert curve is not None
    assert curve.sensitivity_at(0.75) == pytest.approx(0.5)


def test_calibration_error_by_hand() -> None:
    probs = np.zeros((4, N_CLASSES))
    probs[:, 0], probs[:, 1] = [0.9, 0.9, 0.6, 0.6], [0.1, 0.1, 0.4, 0.4]
    bins = metrics.reliability(np.array([0, 0, 0, 1]), probs)
    # Said 0.9, right 1.0; said 0.6, right 0.5: each half of the images.
    assert float(metrics.calibration_error_of(bins)) == pytest.approx(0.1)
    certain = np.eye(N_CLASSES)[[0, 1]]
    assert float(metrics.calibration_error_of(metrics.reliability(np.array([0, 1]), certain))) == 0.0


def test_what_cannot_be_known_is_nan() -> None:
    empty = np.array([], int)
    assert np.isnan(metrics.balanced_accuracy(empty, empty))
    assert np.isnan(float(metrics.calibration_error_of(metrics.reliability(empty, np.zeros((0, N_CLASSES))))))
    true, probs = make_scores(1, classes=3)
    aucs = metrics.class_aucs(true, probs)
    assert np.isnan(aucs[3:]).all()
    assert not np.isnan(aucs[:3]).any()
    assert float(metrics.mean_known(aucs)) == pytest.approx(aucs[:3].mean())
    assert np.isnan(metrics.mean_known(np.full(8, np.nan)))
    assert metrics.roc_of(np.zeros(4, int), np.full((4, 8), 1 / 8), 0) is None


@pytest.mark.parametrize(
    ("true", "predicted", "words"),
    [
        ([0, 8], [0, 0], "0 to 7"),
        ([0, -1], [0, 0], "0 to 7"),
        ([0, 1], [0], "as many predictions"),
        ([[0]], [0], "shape"),
    ],
)
def test_classes_out_of_range_and_lengths_that_differ_are_refused(true: list, predicted: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        metrics.confusion_matrix(np.array(true), np.array(predicted))


@pytest.mark.parametrize("probs", [np.ones((2, 7)), np.ones((3, 8)), np.full((2, 8), np.nan)])
def test_probabilities_of_another_shape_or_not_finite_are_refused(probs: np.ndarray) -> None:
    with pytest.raises(DataError, match="finite probabilities"):
        metrics.brier_terms(np.array([0, 1]), probs)


def _everything(true: np.ndarray, probs: np.ndarray) -> list[float]:
    confusion = metrics.confusion_matrix(true, probs.argmax(axis=1))
    rates = metrics.class_rates(confusion)
    numbers = [rates.sensitivity, rates.specificity, rates.precision, rates.f1, metrics.class_aucs(true, probs)]
    singles = [
        metrics.balanced_accuracy_of(confusion),
        *metrics.malignant_rates(confusion),
        metrics.brier_terms(true, probs).mean(),
        metrics.calibration_error_of(metrics.reliability(true, probs)),
    ]
    return [float(value) for value in np.concatenate([*numbers, np.array(singles, float)])]
