"""How often each class is drawn, and so what shares of the classes training sees."""

import numpy as np

from lesion_core.labels import N_CLASSES


def class_counts(class_index: np.ndarray) -> np.ndarray:
    """Return how many images each class has, int64 (k,), for 0-based class indices (n,)."""
    return np.bincount(np.asarray(class_index, np.int64), minlength=N_CLASSES)


def class_quotas(counts: np.ndarray, power: float) -> np.ndarray:
    """Return how often each class is drawn in an epoch of as many draws as there are images.

    A class with n images is drawn in proportion to n^(1 - power): power 0 shows every image once, power 1
    every class equally often. Rounded by largest remainder, so the sum is exact; a class with images is
    drawn at least once.

    Args:
        counts: (k,) images per class, not all 0.
        power: In [0, 1].

    Returns:
        int64 (k,), summing to ``counts.sum()``.
    """
    weights = np.where(counts > 0, np.power(np.maximum(counts, 1).astype(np.float64), 1.0 - power), 0.0)
    exact = counts.sum() * weights / weights.sum()
    quotas = np.floor(exact + 1e-9).astype(np.int64)
    largest_first = np.argsort(-(exact - quotas), kind="stable")
    quotas[largest_first[: counts.sum() - quotas.sum()]] += 1
    return quotas
