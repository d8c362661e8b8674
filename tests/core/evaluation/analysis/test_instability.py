import numpy as np
import pytest

from lesion_core.evaluation.analysis.instability import measure_instability, predict_views, views_of
from lesion_core.labels import N_CLASSES
from lesion_core.statistics.group_means import GroupMeans

random = np.random.default_rng(1)
PIXELS = random.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
TRUE = random.integers(0, N_CLASSES, 40)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def by_mean(pixels: np.ndarray, metadata: object) -> np.ndarray:
    """Look at the mean colour only: no turn changes it."""
    return softmax(pixels.mean(axis=(1, 2)) @ np.linspace(-0.1, 0.1, 3 * N_CLASSES).reshape(3, N_CLASSES))


def by_corner(pixels: np.ndarray, metadata: object) -> np.ndarray:
    """Look at the upper left corner only."""
    return softmax(np.eye(N_CLASSES)[pixels[:, 0, 0, 0] // 32] * 5)


def means() -> GroupMeans:
    return GroupMeans(TRUE, np.arange(40), n_bootstrap=100, seed=7)


def test_the_views_are_the_eight_of_a_square() -> None:
    views = views_of(PIXELS)
    assert views.shape == (8, 40, 6, 6, 3)
    np.testing.assert_array_equal(views[0], PIXELS)
    assert len({view.tobytes() for view in views}) == 8
    for view in views:
        np.testing.assert_array_equal(np.sort(view, axis=None), np.sort(PIXELS, axis=None))


def test_a_model_that_looks_at_the_mean_colour_is_steady() -> None:
    found = measure_instability(predict_views(by_mean, PIXELS, {}), TRUE, means(), n_of=90)
    assert found.changing.value == 0.0
    assert found.changing_malignancy.value == 0.0
    assert found.mean_spread.value == pytest.approx(0.0, abs=1e-6)
    assert found.wrong_if_changing.value is None  # there are none
    assert (found.n_images, found.n_of) == (40, 90)


def test_a_model_that_looks_at_a_corner_is_not() -> None:
    probs = predict_views(by_corner, PIXELS, {})
    found = measure_instability(probs, TRUE, means(), n_of=40)
    corners = np.stack([PIXELS[:, row, column, 0] // 32 for row in (0, -1) for column in (0, -1)])
    assert found.changing.value == pytest.approx((corners != corners[0]).any(axis=0).mean())
    assert found.mean_spread.value is not None
    assert found.mean_spread.value > 0.1
    assert len(found.rows()) == 5
