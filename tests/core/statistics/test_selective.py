import numpy as np
import pytest

from lesion_core.statistics.selective import risk_coverage


def curve(confidence: np.ndarray, wrong: np.ndarray) -> tuple[float, ...]:
    nobody = np.zeros(len(wrong), bool)
    return risk_coverage(confidence, wrong, nobody, nobody).risk


def test_a_model_that_knows_when_it_is_wrong_has_the_best_area() -> None:
    wrong = np.arange(100) >= 80
    found = risk_coverage(-np.arange(100.0), wrong, np.ones(100, bool), wrong)
    assert found.risk[15] == 0.0  # at 80 %
    assert found.risk[-1] == pytest.approx(0.2)
    assert found.area == pytest.approx(found.area_of_best)
    assert found.missed_malignant[-1] == pytest.approx(0.2)
    assert found.missed_malignant[0] == 0.0


def test_confidence_that_says_nothing_leaves_the_risk_where_it_is() -> None:
    wrong = np.random.default_rng(1).random(20_000) < 0.3
    assert curve(np.random.default_rng(2).random(20_000), wrong) == pytest.approx((wrong.mean(),) * 20, abs=0.03)
    assert curve(np.ones(20_000), wrong) == pytest.approx((wrong.mean(),) * 20)  # all equally sure: exactly


def test_the_order_of_the_images_does_not_count() -> None:
    random = np.random.default_rng(3)
    confidence, wrong = random.integers(0, 5, 500).astype(float), random.random(500) < 0.4
    order = random.permutation(500)
    assert curve(confidence, wrong) == pytest.approx(curve(confidence[order], wrong[order]))


def test_no_malignant_image_among_the_surest_is_not_a_perfect_result() -> None:
    nobody = np.zeros(10, bool)
    assert risk_coverage(np.arange(10.0), nobody, nobody, nobody).missed_malignant == (None,) * 20
