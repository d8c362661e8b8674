import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController

from lesion_core.errors import DataError
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.statistics.guarantees.operating_points import (
    CONFIDENCE,
    DECISIONS,
    WANTED,
    OperatingPoints,
    choose_operating_points,
    highest_threshold,
    least_groups,
)
from tests.core.statistics.test_conformal import simulated


def reached(threshold: float) -> float:
    """Return the sensitivity of scores that are Beta(4, 2) distributed."""
    return float((threshold <= BETA).mean())


BETA = np.random.default_rng(0).beta(4, 2, size=200_000)


@pytest.mark.parametrize("wanted", WANTED)
def test_the_promise_is_kept_as_often_as_it_says(wanted: float) -> None:
    random = np.random.default_rng(1)
    found = [highest_threshold(random.beta(4, 2, size=120), wanted) for _ in range(600)]
    sensitivities = np.array([reached(threshold) for threshold in found if threshold is not None])
    assert len(sensitivities) == 600
    kept = float((sensitivities >= wanted).mean())
    assert kept >= CONFIDENCE - 0.03
    assert kept <= 0.985  # and not by calling everything
    assert sensitivities.mean() < wanted + 0.06


def test_it_is_not_below_what_mapie_promises() -> None:
    """MAPIE's bound holds for any risk between 0 and 1, ours is the exact one of a share: never a lower threshold."""
    scores = np.random.default_rng(2).beta(4, 2, size=300)
    x = np.column_stack([1 - scores, scores])
    peer = BinaryClassificationController(
        lambda rows: rows, "recall", target_level=0.9, confidence_level=CONFIDENCE, fwer_method="fixed_sequence"
    )
    peer.calibrate(x, np.ones(len(x), int))
    ours = highest_threshold(scores, 0.9)
    assert ours is not None
    assert ours >= float(np.max(peer.valid_predict_params))
    assert reached(ours) >= 0.88


def test_too_few_images_make_no_promise_and_say_how_many_would() -> None:
    assert least_groups(0.95) == 45
    assert highest_threshold(np.full(44, 0.9), 0.95) is None
    assert highest_threshold(np.full(45, 0.9), 0.95) == 0.9
    true = np.full(30, CLASS_ORDER.index(Diagnosis.MEL))
    points = choose_operating_points(true, np.eye(8)[true], np.arange(30))
    melanoma = [point for point in points.points if point.decision == "cannot exclude melanoma"]
    assert [point.threshold is None for point in melanoma] == [True, False, False]
    assert "30 groups" in melanoma[0].reason
    assert "45" in melanoma[0].reason
    best = points.of("cannot exclude melanoma")
    assert best is not None
    assert best.wanted == 0.90
    nothing = choose_operating_points(np.zeros(0, int), np.zeros((0, 8)), np.zeros(0))
    assert all(point.threshold is None and point.n_groups == 0 for point in nothing.points)
    assert nothing.of("refer") is None


def test_a_decision_sums_its_classes() -> None:
    probs = np.array([[0.1, 0.2, 0.05, 0.15, 0.2, 0.1, 0.1, 0.1]])
    assert {one.name: round(float(one.scores(probs)[0]), 6) for one in DECISIONS} == {
        "refer": 0.4,
        "cannot exclude malignancy": 0.25,
        "cannot exclude melanoma": 0.1,
    }


def test_images_of_one_group_count_once() -> None:
    true, probs = simulated(400, 7)
    once = choose_operating_points(true, probs, np.arange(400))
    again = choose_operating_points(np.repeat(true, 2), np.repeat(probs, 2, axis=0), np.repeat(np.arange(400), 2))
    assert again == once
    assert OperatingPoints.model_validate_json(once.model_dump_json()) == once


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="same images"):
        choose_operating_points(np.zeros(3, int), np.zeros((3, 8)), np.zeros(2))
