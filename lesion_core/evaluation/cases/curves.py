"""Deletion and insertion: whether the cells that a map names first are those the answer depends on.

Petsiuk, Das and Saenko 2018, "RISE" (arXiv:1806.07421). Cells are hidden one after the other, those that speak most
for the predicted class first, and the class's probability is followed (deletion: a small area is good); or shown one
after the other on an empty image (insertion: a large area is good). The same cells in random order are the peer.
A hidden cell has the image's mean colour, as in the occlusion maps of ``serving.predictor``. Images with cells hidden
are unlike the training images, which is the method's known weakness; the random order has it too.
"""

import numpy as np
from pydantic import Field

from lesion_core.evaluation.cases.explained import Explained, is_above, mean_of
from lesion_core.serving.predictor import Predictor
from lesion_core.serving.what_if import inputs_of
from lesion_core.statistics.estimates import Estimate
from lesion_core.types import Value

N_STEPS = 10
N_RANDOM_ORDERS = 2


class CurveCheck(Value):
    """Areas under the curves, the map's order against random order; in units of probability."""

    deletion: Estimate = Field(description="Area in random order minus the map's; above 0: the map is better")
    insertion: Estimate = Field(description="Area in the map's order minus the random one; above 0: better")
    n_images: int = Field(ge=1)
    n_groups: int = Field(ge=1)
    passed: bool | None = Field(description="Both intervals above 0; none: too few groups for intervals")

    def in_words(self) -> str:
        """Say what was found."""
        verdict = {
            True: "The map names what the answer depends on",
            False: "The map is not shown to be better than a random order of the cells",
            None: "Too few groups to tell whether the map is better than a random order of the cells",
        }[self.passed]
        return (
            f"{verdict}: hiding its first cells lowers the area by {self.deletion.in_words()} against random order, "
            f"showing them first raises it by {self.insertion.in_words()} ({self.n_images} images)."
        )


def check_curves(predictor: Predictor, explained: Explained, *, n_bootstrap: int = 1000, seed: int = 7) -> CurveCheck:
    """Compare the order of cells by the map with random orders of the same cells.

    Args:
        predictor: The model whose maps they are.
        explained: Images with their maps.
        n_bootstrap: Resamples of groups.
        seed: Of random orders and resamples.
    """
    random = np.random.default_rng(seed)
    gains = np.stack([_gains(predictor, explained, place, random) for place in range(len(explained.pixels))])
    deletion, insertion = (
        mean_of(gains[:, column], explained.groups, n_bootstrap=n_bootstrap, seed=seed) for column in range(2)
    )
    verdicts = [is_above(deletion, 0.0), is_above(insertion, 0.0)]
    return CurveCheck(
        deletion=deletion,
        insertion=insertion,
        n_images=len(gains),
        n_groups=len(np.unique(explained.groups)),
        passed=None if None in verdicts else all(verdicts),
    )


def curve_areas(
    predictor: Predictor, explained: Explained, place: int, orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas under the deletion and the insertion curve of one image, float64 (m,) each, 0 to 1.

    Args:
        predictor: The model.
        explained: Images with their maps.
        place: Which image.
        orders: int (m, h * w), orders of the cells, first to last.
    """
    pixels, n_cells = explained.pixels[place], orders.shape[1]
    rank = np.argsort(orders, axis=1)
    steps = np.linspace(0, n_cells, N_STEPS + 1).round().astype(int)
    is_first = rank[:, None, :] < steps[:, None]  # (m, steps, cells)
    hidden = np.stack([is_first, ~is_first]).reshape(-1, n_cells)
    changed = hide_cells(pixels, hidden, explained.maps.shape[1:])
    answers = predictor.predict(changed, inputs_of([explained.patients[place]] * len(changed)))
    probs = answers.probs[:, explained.target[place]].astype(np.float64).reshape(2, len(orders), -1)
    deletion, insertion = np.trapezoid(probs, steps / n_cells, axis=2)
    return deletion, insertion


def hide_cells(pixels: np.ndarray, hidden: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an image once for each set of hidden cells, uint8 (m, s, s, 3), these in its mean colour.

    Args:
        pixels: uint8 (s, s, 3).
        hidden: bool (m, h * w).
        shape: Rows and columns of cells, (h, w).
    """
    rows, columns = (np.arange(len(pixels)) * n // len(pixels) for n in shape)
    cell = rows[:, None] * shape[1] + columns
    mean = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    return np.where(hidden[:, cell][..., None], mean, pixels)


def _gains(predictor: Predictor, explained: Explained, place: int, random: np.random.Generator) -> np.ndarray:
    """Return by how much the map is better than random order, float64 (2,): deletion, insertion."""
    values = explained.maps[place].ravel()
    by_map = np.lexsort([random.permutation(len(values)), -values])  # equal values in random order
    others = [random.permutation(len(values)) for _ in range(N_RANDOM_ORDERS)]
    deletion, insertion = curve_areas(predictor, explained, place, np.stack([by_map, *others]))
    return np.array([deletion[1:].mean() - deletion[0], insertion[0] - insertion[1:].mean()])
