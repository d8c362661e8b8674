"""One image for each group, so that rows are independent trials, as guarantees on few images ask."""

import numpy as np


def one_per_group(groups: np.ndarray, *, seed: int, at_most: int | None = None) -> np.ndarray:
    """Return the positions of one image of each group, drawn at random, int64 (g,), rising.

    Args:
        groups: (n,), of any sortable type.
        seed: Same seed and groups, same images.
        at_most: Most images, of groups drawn at random; none: one of every group.
    """
    order = np.random.default_rng(seed).permutation(len(groups))
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    return np.sort(order[np.sort(first)[:at_most]])
