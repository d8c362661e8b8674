"""What would show that a measurement went wrong: checks that a report makes of itself.

None of them proves that all is well. Each names a known mistake and is tested by making it.
"""

from collections.abc import Iterable

import numpy as np
from pydantic import Field
from scipy.optimize import linear_sum_assignment

from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.intervals import measure
from lesion_core.statistics.metrics import confusion_matrix, roc_of
from lesion_core.types import Value

MIN_GAIN = 0.25  # of mean sensitivity of the classes whose columns another order moves, before it is a mistake
_N_SHUFFLES, _SHUFFLE_SEED = 99, 7  # as rare as 1 in 100 where answers mean nothing
_MIN_IMAGES = 10  # of a class, before it is judged


class Finding(Value):
    """One thing that a reader must know before trusting a number."""

    code: str = Field(description="Stable name of the check")
    text: str


class ImageInterval(Value):
    """The interval of balanced accuracy by groups, and what counting images would have made of it."""

    by_group: Estimate
    by_image: Estimate = Field(description="Wrong where groups have several images; shown for comparison only")

    @property
    def width_ratio(self) -> float | None:
        """Width by image over width by group; ``None`` where one is not known."""
        widths = [
            None if one.low is None or one.high is None else one.high - one.low
            for one in (self.by_image, self.by_group)
        ]
        return None if widths[0] is None or not widths[1] else widths[0] / widths[1]


def compare_intervals(
    class_index: np.ndarray, probs: np.ndarray, groups: np.ndarray, *, n_bootstrap: int, seed: int
) -> ImageInterval:
    """Return the resampled interval of balanced accuracy by group and by image."""
    by_group, by_image = (
        measure(class_index, probs, unit, n_bootstrap=n_bootstrap, seed=seed).estimate("balanced_accuracy")
        for unit in (groups, np.arange(len(class_index)))
    )
    return ImageInterval(by_group=by_group, by_image=by_image)


def find_mistakes(class_index: np.ndarray, probs: np.ndarray) -> tuple[Finding, ...]:
    """Return what looks like a mistake in how answers and truth were put together.

    Args:
        class_index: int (n,), 0-based.
        probs: float (n, k), as the model answers.
    """
    return (*_column_order(class_index, probs), *_inverted(class_index, probs), *_constant(probs))


def _column_order(class_index: np.ndarray, probs: np.ndarray) -> Iterable[Finding]:
    """Find whether another order of the columns fits better, by more than it does where answers mean nothing."""
    predicted = probs.argmax(axis=1)
    moved, best, own = _best_order(class_index, predicted)
    if best - own <= MIN_GAIN:
        return
    random = np.random.default_rng(_SHUFFLE_SEED)
    for _ in range(_N_SHUFFLES):
        _, by_chance, before = _best_order(random.permutation(class_index), predicted)
        if by_chance - before >= best - own:
            return
    pairs = ", ".join(f"{CLASS_ORDER[place]} as {CLASS_ORDER[column]}" for place, column in moved.items())
    yield Finding(
        code="column-order",
        text=f"Answers fit the truth better in another order of the classes ({pairs}): mean sensitivity of these "
        f"{best:.3f} instead of {own:.3f}. Labels or probability columns were probably swapped.",
    )


def _best_order(class_index: np.ndarray, predicted: np.ndarray) -> tuple[dict[int, int], float, float]:
    """Return which columns fit better elsewhere, and the mean sensitivity of those classes there and as it is.

    The order with the highest sensitivities of all is the assignment problem's (Kuhn 1955).
    """
    confusion = confusion_matrix(class_index, predicted)
    support = confusion.sum(axis=1)
    known = support >= _MIN_IMAGES
    shares = np.where(known[:, None], confusion / np.maximum(support, 1)[:, None], 0.0)
    rows, columns = linear_sum_assignment(-shares)
    moved = {int(row): int(column) for row, column in zip(rows, columns, strict=True) if known[row] and column != row}
    if not moved:
        return {}, 0.0, 0.0
    places = list(moved)
    return moved, float(shares[places, list(moved.values())].mean()), float(shares[places, places].mean())


def _inverted(class_index: np.ndarray, probs: np.ndarray) -> Iterable[Finding]:
    curves = {name: roc_of(class_index, probs, place) for place, name in enumerate(CLASS_ORDER)}
    counts = np.bincount(class_index, minlength=N_CLASSES)
    names = [
        f"{name} ({curve.auc:.2f})"
        for place, (name, curve) in enumerate(curves.items())
        if curve is not None and counts[place] >= _MIN_IMAGES and curve.auc < 0.4
    ]
    if names:
        yield Finding(
            code="inverted",
            text=f"Images of a class get less of its probability than the others do: {', '.join(names)} (AUC). A "
            "model that had learnt nothing would be near 0.5.",
        )


def _constant(probs: np.ndarray) -> Iterable[Finding]:
    if len(probs) > 1 and np.ptp(probs, axis=0).max() < 1e-6:
        yield Finding(code="constant", text="Every image gets the same answer: the model does not look at its input.")
