import numpy as np
import pytest

from lesion_core.serving.overlays import AGAINST, FOR, STRONGEST, lay_over, resized, scale_of_maps
from tests.core.dataset.snapshots import draw


def test_a_map_of_zeros_leaves_the_image_in_grey() -> None:
    image = draw(1, 64, 64)
    shown = lay_over(image, np.zeros((8, 8)), 1.0, side_px=64)
    np.testing.assert_array_equal(shown, image.mean(axis=-1, keepdims=True).round().repeat(3, axis=-1))


@pytest.mark.parametrize(("value", "colour"), [(2.0, FOR), (-2.0, AGAINST)])
def test_beyond_the_scale_the_colour_is_full_and_the_image_still_visible(
    value: float, colour: tuple[int, int, int]
) -> None:
    image = np.full((32, 32, 3), 100, np.uint8)
    shown = lay_over(image, np.full((4, 4), value), 1.0, side_px=50)
    expected = 100 * (1 - STRONGEST) + np.array(colour) * STRONGEST
    assert shown.shape == (50, 50, 3)
    np.testing.assert_allclose(shown, np.broadcast_to(expected, shown.shape), atol=1)


def test_the_scale_is_of_all_classes_without_the_outliers() -> None:
    maps = np.linspace(-1, 1, 2000).reshape(10, 25, 8)
    maps[0, 0, 0] = 1000
    assert scale_of_maps(maps) == pytest.approx(0.99, abs=0.01)
    assert scale_of_maps(np.zeros((2, 2, 8))) > 0


def test_an_image_can_be_made_smaller() -> None:
    assert resized(np.full((64, 64, 3), 7, np.uint8), 16).tolist() == np.full((16, 16, 3), 7).tolist()
