"""Near-duplicates: the same photograph is found however it was changed; others are not."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from lesion_core.dataset.splitting.duplicates import THUMBNAIL_PX, find_near_duplicates, thumbnail_of
from lesion_core.images import Preprocessing, decode, resize
from tests.core.dataset.snapshots import draw, encode


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    return thumbnail_of(resize(pixels, Preprocessing(size_px=THUMBNAIL_PX)))


def pairs_of(images: list[np.ndarray]) -> set[tuple[int, int]]:
    found = find_near_duplicates(np.stack([thumbnail(image) for image in images]))
    return set(zip(found["first"], found["second"], strict=True))


def brightened(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(0.8)) // 10 * 9


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same": lambda x: x,
    "mirrored": lambda x: x[:, ::-1],
    "upside down": lambda x: x[::-1],
    "turned by 90": lambda x: np.rot90(x, 1),
    "turned by 180": lambda x: np.rot90(x, 2),
    "turned by 270": lambda x: np.rot90(x, 3),
    "transposed": lambda x: x.transpose(1, 0, 2),
    "transposed the other way": lambda x: np.rot90(x, 2).transpose(1, 0, 2),
    "half the size": lambda x: resize(x, Preprocessing(size_px=48)),
    "poor JPEG": lambda x: decode(encode(x, "JPEG", quality=35), image_id="a"),
    "other exposure": brightened,
    "other white balance": lambda x: (x * [1.0, 0.92, 0.8]).astype(np.uint8),
    "turned, smaller, recompressed": lambda x: decode(
        encode(resize(np.rot90(x), Preprocessing(size_px=64)), "JPEG", quality=60), image_id="a"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("seed", [3, 11])
def test_a_changed_copy_is_found_among_others(change: Callable[[np.ndarray], np.ndarray], seed: int) -> None:
    images = [draw(number) for number in range(20)] + [change(draw(seed))]
    assert pairs_of(images) == {(seed, 20)}


def test_different_images_are_never_joined() -> None:
    assert pairs_of([draw(number) for number in range(300)]) == set()


def vignetted(seed: int) -> np.ndarray:
    """Different skin below the same strong dark rim."""
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    light = np.clip(1.6 - 1.5 * np.hypot(x, y), 0, 1)[..., None]
    skin = 180 + 30 * gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96)), 2)[..., None]
    return np.clip(skin * light * [1.0, 0.8, 0.75], 0, 255).astype(np.uint8)


def test_a_common_vignette_does_not_join_images() -> None:
    images = [vignetted(number) for number in range(12)]
    frames = np.stack([thumbnail(image).ravel() for image in images]).astype(float)
    assert np.corrcoef(frames).min() > 0.97  # over the whole frame they are alike
    assert pairs_of(images) == set()


def test_smooth_blobs_do_not_join() -> None:
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    images = [
        np.repeat((200 - 120 * np.exp(-(x**2 + y**2) / (0.2 + 0.004 * number)))[..., None], 3, axis=2).astype(
            np.uint8
        )
        + np.random.default_rng(number).integers(0, 30, (96, 96, 1), np.uint8)
        for number in range(8)
    ]
    frames = np.stack([thumbnail(image).ravel() for image in images]).astype(float)
    assert np.corrcoef(frames)[0, 1] > 0.98
    assert pairs_of(images) == set()


def test_images_without_contrast_join_nothing() -> None:
    flat = [np.full((64, 64, 3), 90 + number, np.uint8) for number in range(5)]
    grain = [np.clip(image + np.eye(64, dtype=np.uint8)[..., None], 0, 255) for image in flat]
    assert pairs_of(flat + grain) == set()


def test_one_image_and_none_have_no_pairs() -> None:
    assert pairs_of([draw(1)]) == set()
    assert len(find_near_duplicates(np.empty((0, 32, 32), np.uint8))) == 0


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(12)))
def test_the_order_of_images_does_not_matter(order: list[int]) -> None:
    images = [draw(number) for number in range(8)] + [CHANGES["mirrored"](draw(number)) for number in range(4)]
    found = pairs_of([images[number] for number in order])
    named = {tuple(sorted((order[one], order[other]))) for one, other in found}
    assert named == {(number, number + 8) for number in range(4)}


def test_scores_say_how_alike() -> None:
    found = find_near_duplicates(np.stack([thumbnail(draw(1)), thumbnail(draw(1)), thumbnail(draw(2))]))
    assert found[["whole", "disc", "texture"]].iloc[0].to_list() == pytest.approx([1, 1, 1], abs=1e-5)
