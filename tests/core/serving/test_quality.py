"""Each check notes its own fault and leaves an ordinary image alone."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lesion_core.serving.quality import check_quality, sharpness


def _ordinary(height: int = 300, width: int = 400) -> np.ndarray:
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[0:height, 0:width]
    inside = np.hypot(rows - height / 2, columns - width / 2) < min(height, width) / 4
    pixels = np.where(inside[..., None], (96, 58, 44), (214, 168, 148)) + random.normal(0, 12, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def _codes(pixels: np.ndarray, size_px: int = 128) -> set[str]:
    return {note.code for note in check_quality(pixels, size_px=size_px)}


def test_an_ordinary_image_raises_no_note() -> None:
    assert _codes(_ordinary()) == set()


def test_an_image_smaller_than_the_models_input_is_noted_with_both_sizes() -> None:
    notes = check_quality(_ordinary(100, 400), size_px=128)
    assert [note.code for note in notes] == ["small"]
    assert "100" in notes[0].text
    assert "128" in notes[0].text


def test_a_blurred_image_is_noted_whatever_its_size() -> None:
    for height, width in ((300, 400), (1200, 1600)):
        radius = height / 50
        blurred = Image.fromarray(_ordinary(height, width)).filter(ImageFilter.GaussianBlur(radius))
        assert _codes(np.asarray(blurred)) == {"blur"}


def test_exposure_is_noted_both_ways() -> None:
    assert "dark" in _codes((_ordinary() * 0.2).astype(np.uint8))
    assert "bright" in _codes((255 - (255 - _ordinary()) * 0.1).astype(np.uint8))


def test_the_rim_of_the_dermatoscope_is_noted() -> None:
    pixels = _ordinary()
    rows, columns = np.mgrid[0:300, 0:400]
    pixels[np.hypot(rows - 150, columns - 200) > 160] = 5
    assert _codes(pixels) == {"dark-corners"}


def test_grey_images_are_noted_and_dark_skin_is_not() -> None:
    grey = np.repeat(_ordinary().mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    assert _codes(grey) == {"no-skin"}
    dark_skin = (_ordinary().astype(float) * (0.55, 0.5, 0.45)).astype(np.uint8)
    assert "no-skin" not in _codes(dark_skin)


def test_one_colour_is_noted_once() -> None:
    flat = np.full((200, 200, 3), (200, 150, 130), np.uint8)
    assert _codes(flat) == {"flat"}


@pytest.mark.parametrize("shape", [(16, 16), (16, 4000), (1, 1)])
def test_odd_shapes_are_no_trouble(shape: tuple[int, int]) -> None:
    assert "small" in _codes(np.zeros((*shape, 3), np.uint8))


def test_sharpness_of_a_known_pattern() -> None:
    board = np.indices((8, 8)).sum(axis=0) % 2 * 255.0
    assert sharpness(board) == pytest.approx((4 * 255) ** 2)  # every inner value is +4 · 255 or −4 · 255
    assert sharpness(np.zeros((8, 8))) == 0
