import numpy as np
import pytest

from lesion_core.evaluation.analysis.sanity import compare_intervals, find_mistakes
from lesion_core.labels import N_CLASSES
from tests.core.statistics.test_conformal import simulated

TRUE, PROBS = simulated(400, 1)


def codes(true: np.ndarray, probs: np.ndarray) -> set[str]:
    return {one.code for one in find_mistakes(true, probs)}


def test_a_model_as_it_should_be_gives_no_cause() -> None:
    assert codes(TRUE, PROBS) == set()


@pytest.mark.parametrize("columns", [(1, 0, 2, 3, 4, 5, 6, 7), (7, 6, 5, 4, 3, 2, 1, 0), (1, 2, 3, 4, 5, 6, 7, 0)])
def test_a_permuted_column_is_seen_and_named(columns: tuple[int, ...]) -> None:
    found = [one for one in find_mistakes(TRUE, PROBS[:, list(columns)]) if one.code == "column-order"]
    assert found
    assert "MEL as" in found[0].text


def test_labels_in_another_order_are_seen() -> None:
    assert "column-order" in codes(np.roll(np.arange(N_CLASSES), 3)[TRUE], PROBS)


def test_answers_turned_round_are_seen() -> None:
    odds = 1 / PROBS.astype(float)
    assert "inverted" in codes(TRUE, odds / odds.sum(axis=1, keepdims=True))


def test_an_answer_that_never_changes_is_seen() -> None:
    same = np.full((len(TRUE), N_CLASSES), 1 / N_CLASSES)
    assert codes(TRUE, same) == {"constant"}


def test_a_model_that_knows_nothing_is_not_accused_of_a_swap() -> None:
    random = np.random.default_rng(2)
    for n in (90, 90, 90, 90, 400, 400) * 5:
        assert codes(TRUE[:n], random.dirichlet(np.ones(N_CLASSES), n)) <= {"inverted"}


def test_counting_images_makes_the_interval_too_narrow_and_the_report_says_by_how_much() -> None:
    four = np.repeat(np.arange(len(TRUE)), 4)
    found = compare_intervals(TRUE[four], PROBS[four], four, n_bootstrap=400, seed=7)
    assert found.width_ratio == pytest.approx(0.5, abs=0.08)  # 1 / sqrt(4): the four images are the same
    alone = compare_intervals(TRUE, PROBS, np.arange(len(TRUE)), n_bootstrap=400, seed=7)
    assert alone.width_ratio == pytest.approx(1.0)
