"""Which images may be alike in one of the eight orientations: a search that misses no pair.

The cosine transform is orthonormal, so the distance between the low-frequency coefficients of two unit frames never
exceeds that of the frames. A mirror image only changes signs: of all coefficients with an odd row, of all with an odd
column, or of both; a quarter turn transposes besides. So of the scalar products over the four classes of parity,
that over (even, even) keeps its sign and the other three may have any; with their absolute values in place of the
three, the sum bounds the product in the best orientation from above.

Not all are compared with all. Turning the coefficients into values that no orientation changes (``_invariants``) is a
contraction too; leaves of a tree over these values whose boxes lie further apart than the radius are never compared.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.fft import dctn
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

_N_COEFFICIENTS = 7
_LEAF = 256
_N_DIRECTIONS = 12  # of the boxes; more cost more than they spare
_ROUNDING = 1e-4
_ODD = np.arange(_N_COEFFICIENTS) % 2 == 1
_CLASSES = tuple(np.outer(rows, columns) for rows in (~_ODD, _ODD) for columns in (~_ODD, _ODD))


def candidate_pairs(
    frames: np.ndarray, least: float, on_part: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Return all pairs that may correlate by more than ``least`` in one of the eight orientations, and few others.

    Args:
        frames: float32 ``(n, side, side)``, each without mean and of length 1.
        least: Correlation, below 1.
        on_part: Hears how many parts of the search are done, and of how many.

    Returns:
        int64 ``(m, 2)``, the smaller position first, sorted.
    """
    low = dctn(frames, axes=(1, 2), norm="ortho")[:, :_N_COEFFICIENTS, :_N_COEFFICIENTS].astype(np.float32)
    points = _principal(_invariants(low))
    leaves = list(_leaves(points))
    boxes = np.array([(points[leaf].min(axis=0), points[leaf].max(axis=0)) for leaf in leaves])
    upright, turned = _Classes(low), _Classes(low.transpose(0, 2, 1))

    def found_by(number: int) -> np.ndarray:
        leaf, pairs = leaves[number], []
        for other in _near(boxes, number, 2 * (1 - least) + _ROUNDING):
            bound = np.maximum(
                upright.products(upright, leaf, leaves[other]), upright.products(turned, leaf, leaves[other])
            )
            one, two = np.nonzero(bound > least - 1 - _ROUNDING)
            pairs.append(np.stack([leaf[one], leaves[other][two]], axis=1))
        return np.concatenate(pairs)

    # The products are too small to be shared: the library's own threads would only wait for each other.
    n_cores = os.cpu_count() or 1
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_cores, thread_name_prefix="candidates") as pool:
        found = []
        for part in pool.map(found_by, range(len(leaves))):
            found.append(part)
            on_part(len(found), len(leaves))
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


class _Classes:
    """Coefficients ``(n, 7, 7)`` by the parity of row and column; the first class carries half the squared length."""

    def __init__(self, low: np.ndarray) -> None:
        self.parts = [np.ascontiguousarray(low[:, part]) for part in _CLASSES]
        self.halves = (low**2).sum(axis=(1, 2)) / 2

    def products(self, other: "_Classes", rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return, ``(rows, columns)``: a bound of minus half the squared distance in the best orientation."""
        bound = self.parts[0][rows] @ other.parts[0][columns].T
        for mine, theirs in zip(self.parts[1:], other.parts[1:], strict=True):
            product = mine[rows] @ theirs[columns].T
            bound += np.abs(product, out=product)
        bound -= self.halves[rows][:, None]
        bound -= other.halves[columns][None, :]
        return bound


def _invariants(low: np.ndarray) -> np.ndarray:
    """Return float32 ``(n, 49)`` from coefficients ``(n, 7, 7)``: the same for all eight orientations, contracted."""
    kept = np.where(_CLASSES[0], low, np.abs(low))
    turned = kept.transpose(0, 2, 1)
    upper, strict = np.triu_indices(_N_COEFFICIENTS), np.triu_indices(_N_COEFFICIENTS, 1)
    both = (np.maximum(kept, turned)[:, upper[0], upper[1]], np.minimum(kept, turned)[:, strict[0], strict[1]])
    return np.concatenate(both, axis=1)


def _principal(points: np.ndarray) -> np.ndarray:
    """Return the points in their directions of most variance, ``(n, 12)``: turned and projected, so contracted."""
    centred = points - points.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return centred @ directions[:, -_N_DIRECTIONS:]


def _leaves(points: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the positions of at most ``_LEAF`` points at a time, halved along the widest direction over and over."""
    waiting = [np.arange(len(points))]
    while waiting:
        part = waiting.pop()
        if len(part) <= _LEAF:
            yield part
            continue
        widest = int(np.argmax(np.ptp(points[part], axis=0)))
        middle = len(part) // 2
        order = np.argpartition(points[part, widest], middle)
        waiting += [part[order[:middle]], part[order[middle:]]]


def _near(boxes: np.ndarray, number: int, radius_squared: float) -> np.ndarray:
    """Return the leaves from ``number`` on whose boxes ``(n, 2, d)`` come within the radius of its own."""
    (low, high), others = boxes[number], boxes[number:]
    gap = np.maximum(0, np.maximum(others[:, 0] - high, low - others[:, 1]))
    return number + np.flatnonzero((gap**2).sum(axis=1) <= radius_squared)
