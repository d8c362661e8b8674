"""Augmentation is a pure function of pixels and draws, and moves images where geometry says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion_core.modeling.feed.augment import N_DRAWS, augment, draw
from lesion_core.recipes.sections import Augmentation

_OFF = dict.fromkeys(("rotation_degrees", "zoom", "shift", "brightness", "contrast", "hue", "saturation"), 0.0)
_FLIP_X, _FLIP_Y, _ANGLE, _ZOOM, _SHIFT_X, _, _BRIGHTNESS, _CONTRAST, _HUE, _SATURATION = range(10)


def _only(**strengths: float | bool) -> Augmentation:
    return Augmentation.model_validate({**_OFF, "flips": False, **strengths})


def _middle(n: int) -> np.ndarray:
    """Draws that leave an image as it is: no mirror, every strength at its centre."""
    return np.full((n, N_DRAWS), 0.5, np.float32)


def _run(images: np.ndarray, draws: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    return augment(images, draws, augmentation)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)


def test_everything_off_changes_nothing(images: np.ndarray) -> None:
    draws = draw(4, seed=1, epoch=0)
    assert np.array_equal(_run(images, draws, _only()), images)


def test_central_draws_change_nothing(images: np.ndarray) -> None:
    changed = _run(images, _middle(4), Augmentation()).astype(int)
    assert np.abs(changed - images).max() <= 1


@pytest.mark.parametrize(("position", "axis"), [(_FLIP_X, 2), (_FLIP_Y, 1)])
def test_a_flip_mirrors_exactly(images: np.ndarray, position: int, axis: int) -> None:
    draws = _middle(4)
    draws[:2, position] = 0.1
    mirrored = _run(images, draws, _only(flips=True))
    assert np.array_equal(mirrored[:2], np.flip(images[:2], axis))
    assert np.array_equal(mirrored[2:], images[2:])


def test_a_quarter_turn_turns_about_the_middle(images: np.ndarray) -> None:
    draws = _middle(4)
    draws[:, _ANGLE] = 0.75
    turned = _run(images, draws, _only(rotation_degrees=180))
    wanted = np.rot90(images, axes=(1, 2))
    assert np.abs(turned.astype(int) - wanted).max() <= 1


def test_zoom_enlarges_and_shift_moves() -> None:
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[:, 24:40, 24:40] = 200
    draws = _middle(1)
    draws[:, _ZOOM] = 1.0  # up to 1.4
    assert (_run(image, draws, _only(zoom=0.4)) > 100).sum() == pytest.approx(16 * 16 * 3 * 1.4**2, rel=0.12)
    draws[:, _SHIFT_X] = 1.0  # a quarter of the side
    moved = _run(image, draws, _only(shift=0.25))
    assert np.array_equal(moved[:, :, 8:24], image[:, :, 24:40])


def test_a_border_is_reflected_not_black() -> None:
    image = np.full((1, 32, 32, 3), 180, np.uint8)
    draws = _middle(1)
    draws[:, [_ANGLE, _SHIFT_X]] = 0.9
    assert _run(image, draws, _only(rotation_degrees=45, shift=0.3)).min() == 180
    farthest = np.zeros_like(draws)  # small, turned, and moved away: the border is wider than the image
    assert _run(image, farthest, _only(rotation_degrees=45, zoom=0.49, shift=0.49)).min() == 180


def test_brightness_and_contrast_do_what_they_say() -> None:
    image = np.repeat(np.array([100, 140], np.uint8), 512).reshape(1, 32, 32, 1).repeat(3, axis=3)
    draws = _middle(1)
    draws[:, _BRIGHTNESS] = 1.0
    assert np.array_equal(_run(image, draws, _only(brightness=0.2)), image + 51)
    draws[:, _CONTRAST] = 1.0
    stretched = _run(image, draws, _only(contrast=0.5))
    assert sorted(np.unique(stretched)) == [90, 150]  # about the mean, 120


def test_grey_stays_grey_under_hue_and_saturation() -> None:
    image = np.arange(0, 256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    draws = draw(1, seed=5, epoch=0)
    assert np.abs(_run(image, draws, _only(hue=0.4, saturation=0.9)).astype(int) - image).max() <= 1


def test_saturation_spreads_the_colours_apart() -> None:
    image = np.full((1, 8, 8, 3), (150, 120, 110), np.uint8)
    draws = _middle(1)
    draws[:, _SATURATION] = 1.0
    pixel = _run(image, draws, _only(saturation=0.5))[0, 0, 0].astype(float)
    luma = np.array([150, 120, 110]) @ [0.299, 0.587, 0.114]
    assert np.allclose(pixel, luma + 1.5 * (np.array([150, 120, 110]) - luma), atol=1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), epoch=st.integers(0, 50))
def test_each_image_depends_on_its_own_draws_only(seed: int, epoch: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    draws = draw(3, seed=seed, epoch=epoch)
    together = _run(images, draws, Augmentation())
    assert together.dtype == np.uint8
    assert together.shape == images.shape
    assert np.array_equal(together[::-1], _run(images[::-1].copy(), draws[::-1].copy(), Augmentation()))


def test_draws_are_uniform_and_differ_between_epochs() -> None:
    first, again, other = draw(5000, seed=1, epoch=0), draw(5000, seed=1, epoch=0), draw(5000, seed=1, epoch=1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0
    assert first.max() < 1
    assert np.allclose(first.mean(axis=0), 0.5, atol=0.02)
