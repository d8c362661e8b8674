"""Classes that count as one: where a test's label stands for several, an answer of any of them is right.

Every label of such a test stands for a whole pool or for a class of none (``isic.external.labels.check_pools``), so
the pool can be treated as one class of all images, whatever their own class is. Its images are filed under its first
class, and so are the answers of all its classes.
"""

from collections.abc import Sequence

import numpy as np

Pool = tuple[int, ...]  # places in CLASS_ORDER, ascending


def with_pooled_answers(probs: np.ndarray, pools: Sequence[Pool]) -> np.ndarray:
    """Return probabilities, float (n, k), in which each pool's first class has the largest of the pool's.

    The others keep their order; nothing is added, so the leading class is the pool's first exactly where it was one
    of the pool, and the order of images by the pool's score is that of its best class.
    """
    pooled = np.array(probs)
    for pool in pools:
        places = list(pool)
        best = probs[:, places].argmax(axis=1)
        rows = np.arange(len(probs))
        pooled[rows, np.array(places)[best]] = probs[:, places[0]]
        pooled[:, places[0]] = probs[:, places].max(axis=1)
    return pooled


def with_pooled_sums(
    probs: np.ndarray, class_prior: np.ndarray, pools: Sequence[Pool]
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and class prior in which each pool's first class has the pool's sum.

    The pool's other classes get probability 0, and a prior of 1 that nothing is divided by but that 0.

    Args:
        probs: float (n, k).
        class_prior: float (k,) or (n, k), positive.
        pools: Which classes count as one.
    """
    summed, prior = np.array(probs, np.float64), np.array(class_prior, np.float64)
    for pool in pools:
        first, others = pool[0], list(pool[1:])
        summed[:, first] += summed[:, others].sum(axis=1)
        prior[..., first] += prior[..., others].sum(axis=-1)
        summed[:, others], prior[..., others] = 0, 1
    return summed, prior
