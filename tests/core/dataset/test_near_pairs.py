"""The search for near-duplicates: no pair is missed, in whatever orientation, and few are looked at in vain."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from lesion_core.dataset.splitting import near_pairs as candidates
from lesion_core.dataset.splitting.near_pairs import candidate_pairs

LEAST = 0.97


def unit(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).reshape(images.shape)


def orientations(image: np.ndarray) -> list[np.ndarray]:
    return [
        turned for quarter in range(4) for turned in (np.rot90(image, quarter), np.rot90(image, quarter)[:, ::-1])
    ]


def by_hand(frames: np.ndarray) -> set[tuple[int, int]]:
    """All pairs whose best of eight correlations exceeds ``LEAST``."""
    best = np.max(
        [frames.reshape(len(frames), -1) @ np.stack(side).reshape(len(frames), -1).T
         for side in zip(*(orientations(frame) for frame in frames), strict=True)],
        axis=0,
    )  # fmt: skip
    return {(int(one), int(other)) for one, other in np.argwhere(best > LEAST) if one < other}


def alike(rng: np.random.Generator, n_kinds: int, n_images: int, noise: float) -> np.ndarray:
    """Smooth images of a few kinds in random orientations: many pairs near the threshold."""
    kinds = gaussian_filter(rng.normal(size=(n_kinds, 32, 32)), (0, 4, 4)) * 16
    images = kinds[rng.integers(0, n_kinds, n_images)] + rng.normal(size=(n_images, 32, 32)) * noise
    turns = rng.integers(0, 8, n_images)
    return unit(np.stack([orientations(image)[turn] for image, turn in zip(images, turns, strict=True)]))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_kinds=st.integers(1, 30),
    noise=st.floats(0.05, 0.6),
    leaf=st.sampled_from([4, 32, 256]),
)
def test_no_pair_is_missed(seed: int, n_kinds: int, noise: float, leaf: int) -> None:
    frames = alike(np.random.default_rng(seed), n_kinds, 120, noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_LEAF", leaf)
        found = {(int(one), int(other)) for one, other in candidate_pairs(frames, LEAST)}
    assert found >= by_hand(frames)


def test_few_are_looked_at_in_vain() -> None:
    frames = alike(np.random.default_rng(5), 400, 1200, 0.2)
    found, true = candidate_pairs(frames, LEAST), by_hand(frames)
    assert len(true) > 500
    assert len(found) < 3 * len(true)
    assert len(np.unique(found, axis=0)) == len(found)
    assert (found[:, 0] < found[:, 1]).all()


@pytest.mark.parametrize("change", [np.array, lambda x: x[:1]])
def test_little_to_compare_is_no_fault(change: Callable[[np.ndarray], np.ndarray]) -> None:
    frames = change(unit(np.random.default_rng(0).normal(size=(2, 32, 32))))
    assert candidate_pairs(frames, LEAST).shape == (0, 2)
