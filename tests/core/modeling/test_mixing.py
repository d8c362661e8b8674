"""Mixing keeps the labels true to the pixels, and each image the larger part of itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from lesion_core.modeling.feed.mixing import N_MIXING_DRAWS, mix
from lesion_core.recipes.sections import Augmentation

MIXUP, CUTMIX = Augmentation(mixup=0.4), Augmentation(cutmix=1.0)
BOTH = Augmentation(mixup=0.4, cutmix=1.0)


def _flat(n: int, side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Images of one grey each, so that a pixel tells from which image it came."""
    greys = (10 + 200 * np.arange(n) / n).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (n, side, side, 3)).copy(), np.eye(8, dtype=np.float32)[:n]


def _draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, N_MIXING_DRAWS), dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 8), augmentation=st.sampled_from([MIXUP, CUTMIX, BOTH]))
def test_labels_say_what_share_of_the_pixels_is_whose(seed: int, n: int, augmentation: Augmentation) -> None:
    images, labels = _flat(n)
    mixed, targets = mix(images, labels, _draws(n, seed), augmentation)
    assert (mixed.dtype, targets.dtype) == (np.uint8, np.float32)
    assert targets.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-6)
    assert (np.diagonal(targets) >= 0.5).all()
    greys = targets[:, :n] @ images[:, 0, 0, 0].astype(float)
    assert mixed.mean(axis=(1, 2, 3)) == pytest.approx(greys, abs=1.0)


def test_each_image_is_partner_once_and_never_its_own() -> None:
    images, labels = _flat(8)
    _, targets = mix(images, labels, _draws(8, seed=3), Augmentation(mixup=5))
    theirs = targets - np.diag(np.diagonal(targets))
    assert ((theirs > 0).sum(axis=1) == 1).all()
    assert ((theirs > 0).sum(axis=0) == 1).all()


def test_shares_follow_the_beta_distribution() -> None:
    images, labels = np.zeros((8, 2, 2, 3), np.uint8), np.eye(8, dtype=np.float32)
    batches = (mix(images, labels, _draws(8, seed), Augmentation(mixup=0.7))[1] for seed in range(250))
    own = np.concatenate([np.diagonal(targets) for targets in batches])
    # Of a share and its complement the larger one is taken, which folds the symmetric distribution in the middle.
    assert kstest(own, lambda share: 2 * beta(0.7, 0.7).cdf(share) - 1).statistic < 0.06


def test_cutmix_pastes_the_partner_in_its_own_place() -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    mixed, targets = mix(images, np.eye(8, dtype=np.float32)[:4], _draws(4, seed=2), CUTMIX)
    touched = np.flatnonzero(np.diagonal(targets) < 1)
    assert len(touched) >= 2
    for one in touched:
        partner = int(np.argsort(targets[one])[-2])
        pasted = (mixed[one] == images[partner]).all(axis=2)
        assert pasted.mean() == pytest.approx(1 - targets[one, one], abs=1e-6)
        assert np.array_equal(mixed[one][~pasted], images[one][~pasted])


def test_an_image_alone_stays_as_it_is() -> None:
    images, labels = _flat(1)
    for augmentation in (MIXUP, CUTMIX):
        mixed, targets = mix(images, labels, _draws(1), augmentation)
        assert np.abs(mixed.astype(int) - images).max() <= 1
        assert np.array_equal(targets, labels)


def test_the_same_draws_mix_the_same_and_the_batch_given_is_kept() -> None:
    images, labels = _flat(6)
    first, again = (mix(images, labels, _draws(6, seed=9), BOTH) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(images, _flat(6)[0])
