"""Perturbations: repeatable, in range, stronger with severity, and what they say they are."""

import numpy as np
import pytest

from lesion_core.errors import ConfigError
from lesion_core.evaluation.analysis.perturbations import PERTURBATIONS, perturb

SIDE = 64
IDS = [f"ISIC_{number:07d}" for number in range(4)]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Skin-coloured blots with some texture, uint8 (4, SIDE, SIDE, 3)."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    spot = np.exp(-((x - 0.1) ** 2 + (y + 0.05) ** 2) / 0.03)[..., None]
    shades = random.normal(0, 6, (4, SIDE, SIDE, 3))
    return np.clip(np.array([190, 140, 120]) - spot * 90 + shades, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_each_is_repeatable_in_range_and_ordered(name: str, images: np.ndarray) -> None:
    kind = PERTURBATIONS[name]
    before = images.copy()
    moved = []
    for severity in range(len(kind.amounts) + 1):
        changed = perturb(images, IDS, name, severity)
        assert changed.dtype == np.uint8
        assert changed.shape == images.shape
        np.testing.assert_array_equal(changed, perturb(images, IDS, name, severity))
        np.testing.assert_array_equal(changed[2], perturb(images[2:3], IDS[2:3], name, severity)[0])
        moved.append(np.abs(changed.astype(float) - images).mean())
    np.testing.assert_array_equal(images, before)  # what comes in is left alone
    assert moved[0] == 0
    assert min(moved[1:]) > 0
    if kind.is_ordered:
        assert moved == sorted(moved)
    assert len({kind.in_words(place + 1) for place in range(len(kind.amounts))}) == len(kind.amounts)


@pytest.mark.parametrize("name", ["ink", "ruler", "hair"])
def test_what_is_drawn_depends_on_the_id(name: str, images: np.ndarray) -> None:
    same = np.stack([images[0], images[0]])
    first, second = perturb(same, IDS[:2], name, 3)
    assert (first != second).any()


def test_a_layer_alone_reaches_what_it_covers(images: np.ndarray) -> None:
    """Most of an image under a ruler is exactly as it was."""
    changed = perturb(images, IDS, "ruler", 1)
    assert (changed == images).all(axis=-1).mean() > 0.7


def test_turns_and_mirror_move_pixels_and_change_none(images: np.ndarray) -> None:
    back = images
    for _ in range(4):
        back = perturb(back, IDS, "turn", 1)
    np.testing.assert_array_equal(back, images)
    np.testing.assert_array_equal(perturb(perturb(images, IDS, "mirror", 1), IDS, "mirror", 1), images)
    np.testing.assert_array_equal(perturb(images, IDS, "turn", 2), images[:, ::-1, ::-1])


def test_amounts_are_what_they_are_called(images: np.ndarray) -> None:
    grey = np.full((1, SIDE, SIDE, 3), 100, np.uint8)
    assert [perturb(grey, IDS[:1], "darker", severity).max() for severity in (1, 2, 3)] == [85, 70, 50]
    for name in ("zoom in", "zoom out", "blur", "turn", "mirror"):  # none of them has anything to change here
        np.testing.assert_array_equal(perturb(grey, IDS[:1], name, 1), grey)
    corner, middle = perturb(grey, IDS[:1], "dark corners", 1)[0, 0, 0], SIDE // 2
    assert corner.max() == 4
    assert (perturb(grey, IDS[:1], "dark corners", 3)[0, middle, middle] == 100).all()
    cast = perturb(np.repeat(grey, 4, axis=0), IDS, "colour cast", 3)[:, 0, 0]
    assert {tuple(one.tolist()) for one in cast} <= {(120, 100, 80), (80, 100, 120)}


def test_zoom_shows_a_part_or_more() -> None:
    stripe = np.zeros((1, 100, 100, 3), np.uint8)
    stripe[:, :, 40:60] = 255
    widths = [(perturb(stripe, IDS[:1], name, 3)[0, 50, :, 0] > 127).sum() for name in ("zoom in", "zoom out")]
    assert widths[0] == pytest.approx(20 / 0.8, abs=1)
    assert widths[1] == pytest.approx(20 / 1.2, abs=1)


@pytest.mark.parametrize(("name", "severity"), [("fog", 1), ("mirror", 2), ("blur", -1)])
def test_what_is_not_there_is_refused(name: str, severity: int, images: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="severity from 0 to"):
        perturb(images, IDS, name, severity)
