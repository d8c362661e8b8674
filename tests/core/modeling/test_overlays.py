"""Each overlay is drawn as often as asked, alike at every size, and hides no more of the lesion than it may."""

import numpy as np
import pytest
from PIL import Image

from lesion_core.modeling.feed.augment import N_DRAWS, OVERLAY_DRAWS, augment
from lesion_core.recipes.sections import Augmentation

KINDS = ("ink", "rulers", "hairs", "dark_corners", "cutout")
# The share of the image that one of them may change: something, and never so much that no lesion is left.
MOST = {"ink": 0.25, "rulers": 0.35, "hairs": 0.35, "dark_corners": 0.45, "cutout": 0.17}
_STILL = {"flips": False} | dict.fromkeys(
    ("rotation_degrees", "zoom", "shift", "brightness", "contrast", "hue", "saturation"), 0
)


def _only(**chances: float) -> Augmentation:
    return Augmentation.model_validate({**_STILL, **chances})


def _skin(n: int, side: int) -> np.ndarray:
    return np.full((n, side, side, 3), (205, 150, 135), np.uint8)


def _draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, N_DRAWS), dtype=np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_marks_every_image_when_certain_and_only_so_much_of_it(kind: str) -> None:
    skin = _skin(60, 64)
    changed = (augment(skin, _draws(60), _only(**{kind: 1})) != skin).any(axis=3).mean(axis=(1, 2))
    assert changed.max() <= MOST[kind]
    assert (changed > 0).mean() >= 0.9  # a rim can lie outside the frame, a square beyond its edge
    assert len(np.unique(changed)) > 20  # no two alike


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_comes_as_often_as_its_chance(kind: str) -> None:
    skin = _skin(400, 32)
    always = (augment(skin, _draws(400), _only(**{kind: 1})) != skin).any(axis=(1, 2, 3))
    often = (augment(skin, _draws(400), _only(**{kind: 0.3})) != skin).any(axis=(1, 2, 3))
    assert often[always].mean() == pytest.approx(0.3, abs=0.08)
    assert not often[~always].any()


def test_an_image_depends_on_its_own_draws_only() -> None:
    everything = _only(**dict.fromkeys(KINDS, 0.6))
    skin, draws = _skin(24, 48), _draws(24, seed=4)
    together = augment(skin, draws, everything)
    assert np.array_equal(together[::-1], augment(skin, draws[::-1], everything))
    assert np.array_equal(together[5:6], augment(skin[5:6], draws[5:6], everything))


def test_what_is_off_is_not_done_and_leaves_the_very_same_array() -> None:
    skin = _skin(3, 32)
    assert augment(skin, _draws(3), _only()) is skin


def test_the_images_given_are_not_drawn_upon() -> None:
    skin = _skin(8, 48)
    augment(skin, _draws(8), _only(**dict.fromkeys(KINDS, 1.0)))
    assert np.array_equal(skin, _skin(8, 48))


@pytest.mark.parametrize("kind", KINDS)
def test_an_overlay_looks_the_same_at_every_size(kind: str) -> None:
    draws = _draws(12, seed=2)
    small = augment(_skin(12, 64), draws, _only(**{kind: 1})).astype(float)
    large = augment(_skin(12, 256), draws, _only(**{kind: 1}))
    reduced = np.stack([np.asarray(Image.fromarray(image).reduce(4)) for image in large]).astype(float)
    away, marks = np.abs(small - reduced).mean(), np.abs(reduced - _skin(1, 64)).mean()
    assert away < 0.5 * marks


def test_dark_corners_are_dark_where_a_round_window_leaves_them() -> None:
    dark = augment(_skin(40, 64), _draws(40), _only(dark_corners=1)).astype(float).mean(axis=3)
    corners = dark[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
    assert np.median(corners) < 60
    assert np.allclose(dark[:, 24:40, 24:40], _skin(1, 1).mean(), atol=1)


def test_ink_leaves_the_middle_free_and_is_blue_to_violet() -> None:
    skin = _skin(60, 64)
    inked = augment(skin, _draws(60), _only(ink=1)).astype(int)
    assert np.array_equal(inked[:, 26:38, 26:38], skin[:, 26:38, 26:38])
    loss = (skin - inked)[(inked != skin).any(axis=3)].mean(axis=0)
    assert loss[0] > loss[2]
    assert loss[1] > loss[2]


def test_the_seeds_of_the_overlays_are_their_own_columns() -> None:
    width = OVERLAY_DRAWS.stop - OVERLAY_DRAWS.start
    assert width == 2 * len(KINDS)
