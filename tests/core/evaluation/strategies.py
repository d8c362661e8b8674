"""Made-up truths, scores and groups."""

import numpy as np
from hypothesis import strategies as st

from lesion_core.labels import N_CLASSES
from lesion_core.statistics.calibration import apply_temperature


def make_scores(
    seed: int, n: int = 200, *, classes: int = N_CLASSES, skill: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return class_index (n,) and probs (n, 8) of a model of some skill; every class occurs where n allows."""
    random = np.random.default_rng(seed)
    true = np.concatenate([np.arange(classes), random.integers(0, classes, max(0, n - classes))])[:n]
    logits = random.normal(size=(n, N_CLASSES))
    logits[np.arange(n), true] += skill
    return true, apply_temperature(logits, 1.0)


def calibrated_logits(seed: int, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is exactly the chance of each class, and classes drawn by it."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, 8))
    draws = random.random(n)[:, None]
    return logits, (apply_temperature(logits, 1.0).cumsum(axis=1) < draws).sum(axis=1).clip(0, 7)


seeds = st.integers(0, 10_000)
class_indices = st.lists(st.integers(0, N_CLASSES - 1), min_size=1, max_size=60).map(np.array)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predicted classes of the same length."""
    true = draw(class_indices)
    predicted = draw(st.lists(st.integers(0, N_CLASSES - 1), min_size=len(true), max_size=len(true)))
    return true, np.array(predicted)
