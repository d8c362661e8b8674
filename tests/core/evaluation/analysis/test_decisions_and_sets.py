import numpy as np
import pytest

from lesion_core.evaluation.analysis.decisions import measure_decisions
from lesion_core.evaluation.analysis.prediction_sets import measure_sets
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.guarantees.conformal import fit_conformal
from lesion_core.statistics.guarantees.operating_points import (
    OperatingPoint,
    OperatingPoints,
    choose_operating_points,
)
from tests.core.statistics.test_conformal import simulated


def means_of(true: np.ndarray, groups: np.ndarray | None = None) -> GroupMeans:
    return GroupMeans(true, np.arange(len(true)) if groups is None else groups, n_bootstrap=200, seed=7)


def test_what_a_threshold_reaches_is_counted_on_the_images() -> None:
    points = choose_operating_points(*simulated(600, 1), np.arange(600))
    true, probs = simulated(900, 2)
    found = measure_decisions(points, true, probs, means_of(true))
    assert [one.point for one in found] == list(points.points)
    one = next(each for each in found if each.point.decision == "refer" and each.point.wanted == 0.9)
    positive, score = np.isin(true, [0, 2, 3, 7]), probs[:, [0, 2, 3, 7]].astype(float).sum(axis=1)
    assert one.point.threshold is not None
    assert one.sensitivity.value == pytest.approx(np.mean(score[positive] >= one.point.threshold))
    assert one.specificity.value == pytest.approx(np.mean(score[~positive] < one.point.threshold))
    assert one.n_positive == positive.sum()
    assert one.sensitivity.low is not None
    assert one.is_kept is (one.sensitivity.value >= 0.9)
    assert one.row()["sensitivity reached"] == one.sensitivity.in_words()


def test_a_threshold_fitted_on_the_wrong_labels_breaks_its_promise() -> None:
    """Calibration labels in another order than the model's: the report shows that the promise was not kept."""
    true, probs = simulated(600, 3)
    swapped = choose_operating_points(np.roll(np.arange(N_CLASSES), 1)[true], probs, np.arange(600))
    tested, answers = simulated(900, 4)
    honest = measure_decisions(
        choose_operating_points(true, probs, np.arange(600)), tested, answers, means_of(tested)
    )
    broken = measure_decisions(swapped, tested, answers, means_of(tested))
    cost = [np.mean([one.specificity.value for one in found]) for found in (honest, broken)]
    assert cost[1] < cost[0] - 0.2


def test_no_promise_is_said_with_its_reason() -> None:
    none = OperatingPoint(
        decision="refer", wanted=0.95, confidence=0.9, threshold=None, n_groups=3, reason="3 groups of 45"
    )
    true, probs = simulated(50, 5)
    (found,) = measure_decisions(OperatingPoints(points=(none,)), true, probs, means_of(true))
    assert found.sensitivity.value is None
    assert found.is_kept is None
    assert "3 groups of 45" in found.row()["sensitivity reached"]


def test_sets_are_counted_on_the_images() -> None:
    sets = fit_conformal(*simulated(800, 6), np.arange(800))
    true, probs = simulated(1000, 7)
    found = {one.wanted: one for one in measure_sets(sets, true, probs, means_of(true))}
    inside = probs >= np.array(sets.level(0.9).thresholds)
    assert found[0.9].coverage.value == pytest.approx(inside[np.arange(1000), true].mean())
    assert found[0.9].mean_size.value == pytest.approx(inside.sum(axis=1).mean())
    assert found[0.9].coverage.value == pytest.approx(0.9, abs=0.03)
    size = [found[wanted].mean_size.value for wanted in (0.8, 0.9, 0.95)]
    assert size == sorted(size)  # more coverage leaves more open
    assert [one.diagnosis for one in found[0.9].classes] == list(CLASS_ORDER)
    assert len(found[0.9].rows()) == N_CLASSES


def test_images_of_one_group_make_the_interval_wider_not_narrower() -> None:
    true, probs = simulated(150, 8)
    sets = fit_conformal(*simulated(800, 9), np.arange(800))
    alone = measure_sets(sets, true, probs, means_of(true))[0].coverage
    four = np.repeat(np.arange(150), 4)
    together = measure_sets(sets, true[four], probs[four], means_of(true[four], four))[0].coverage
    as_if_alone = measure_sets(sets, true[four], probs[four], means_of(true[four]))[0].coverage

    def width(one: object) -> float:
        return one.high - one.low  # type: ignore[attr-defined,no-any-return]

    assert width(together) == pytest.approx(width(alone), rel=0.15)
    assert width(as_if_alone) < 0.7 * width(together)  # what counting images would print
