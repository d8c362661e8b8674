import numpy as np
import pytest

from lesion_core.errors import DataError
from lesion_core.evaluation.measurement import Scored, estimate_all
from lesion_core.labels import N_CLASSES
from tests.core.evaluation.strategies import make_scores

TRUE, PROBS = make_scores(1, 20)
GROUPS = np.arange(20)


def _with(row: int, column: int, value: float) -> np.ndarray:
    probs = PROBS.astype(np.float64)
    probs[row, column] = value
    return probs


@pytest.mark.parametrize(
    ("probs", "words"),
    [
        (_with(3, 1, np.nan), r"NaN or infinity in 1 of 20 rows \(first: 3\)"),
        (_with(0, 1, np.inf), "finite"),
        (_with(7, 1, 2.0), r"sum to 1 within 0.001, got others in 1 of 20 rows \(first: 7\)"),
        (PROBS * 0.998, "20 of 20 rows"),
        (np.log(PROBS), "apply softmax"),
        (np.eye(N_CLASSES)[TRUE] * 2 - 1 / 8, "lowest -0.125"),
        (PROBS[:, :7], "of the same n images"),
        (PROBS[:19], "of the same n images"),
        (PROBS[:, 0], "of the same n images"),
    ],
)
def test_what_are_no_probabilities_is_refused(probs: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Scored(TRUE, probs, GROUPS)


@pytest.mark.parametrize(
    ("true", "words"),
    [
        (np.where(TRUE == 0, 8, TRUE), r"from 0 to 7, got \[8\]; leave out"),
        (np.where(TRUE == 0, -1, TRUE), r"got \[-1\]"),
        (TRUE.astype(float), "whole numbers as true classes, got float64"),
        (np.array(["MEL"] * 20), "whole numbers"),
        (TRUE[:19], "of the same n images"),
        (TRUE[:0], "at least one image"),
        (TRUE[:, None], "of the same n images"),
    ],
)
def test_unknown_classes_are_refused(true: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Scored(true, PROBS, GROUPS)


@pytest.mark.parametrize("missing", [None, np.nan, "", "nan", "None", "<NA>"])
def test_an_image_without_a_group_is_refused(missing: object) -> None:
    """As text, missing ids would be one group, in which all these images stood."""
    groups = np.array([f"g{number}" for number in GROUPS], object)
    groups[[4, 9]] = missing
    with pytest.raises(DataError, match=r"a group of every image, got none in 2 of 20 rows \(first: 4\)"):
        Scored(TRUE, PROBS, groups)
    with pytest.raises(DataError, match="a group of every image"):
        Scored(TRUE, PROBS, groups.astype(str))


@pytest.mark.parametrize("prior", [np.full(7, 1 / 7), np.full((3, 8), 1 / 8)])
def test_a_class_prior_of_another_shape_is_refused(prior: np.ndarray) -> None:
    with pytest.raises(DataError, match="class_prior"):
        Scored(TRUE, PROBS, GROUPS, prior)


def test_rounded_and_float32_probabilities_and_any_group_names_are_taken() -> None:
    rounded = PROBS.astype(np.float64).round(4)
    assert np.abs(rounded.sum(axis=1) - 1).max() > 0
    for groups in (GROUPS, GROUPS.astype(float), np.array([f"g{number}" for number in GROUPS])):
        Scored(TRUE.astype(np.int8), rounded, groups)
        Scored(TRUE, PROBS.astype(np.float32), groups)


def test_absent_classes_are_not_known_and_left_out_of_means() -> None:
    true, probs = make_scores(2, 40, classes=3)
    found = estimate_all(Scored(true, probs, np.arange(40)), n_bootstrap=2, seed=1)
    for by_name in found.by_class[3:]:
        assert {by_name[name].value for name in ("sensitivity", "f1", "auc", "pr_auc", "partial_auc")} == {None}
    known = [by_name["pr_auc"].value for by_name in found.by_class[:3]]
    assert found.overall["macro_pr_auc"].value == pytest.approx(np.mean(known))


def test_one_image_alone_has_what_it_can_have() -> None:
    found = estimate_all(Scored(TRUE[:1], PROBS[:1], GROUPS[:1]), n_bootstrap=2, seed=1).overall
    assert found["malignant_auc"].value is None
    assert found["melanoma_specificity_at_90_sensitivity"].value is None
    assert found["accuracy"].value in (0.0, 1.0)
