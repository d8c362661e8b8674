"""The card's table of how often the leading answer is right, by its probability."""

from collections.abc import Iterable

from lesion_core.evaluation.card.content import CardTable
from lesion_core.evaluation.report import Probabilities
from lesion_core.statistics.estimates import Estimate

_HEADER = ("Leading probability", "Images", "Mean probability", "Share answered right")


def calibration_tables(probabilities: Probabilities) -> tuple[CardTable, ...]:
    """Return one row for each bin of the leading probability that has an image; no table without any."""
    rows = tuple(_rows(probabilities))
    if not rows:
        return ()
    shares = (
        "were brought to the class shares of these images"
        if probabilities.class_shares is not None
        else "are as the model answers them"
    )
    table = CardTable(
        title="Calibration",
        topic="calibration",
        note=f"Where the answers are calibrated, both columns on the right agree. The probabilities {shares}. "
        "Bins without an image are left out, and bins of few images say little. Brier score and expected calibration "
        "error are under Performance.",
        header=_HEADER,
        rows=rows,
    )
    return (table,)


def _rows(probabilities: Probabilities) -> Iterable[tuple[str, ...]]:
    n_bins = len(probabilities.bins)
    for place, (n_images, total, n_right) in enumerate(probabilities.bins):
        if n_images:
            ends = f"{place / n_bins:.2f} to {(place + 1) / n_bins:.2f}"
            means = (Estimate(value=total / n_images), Estimate(value=n_right / n_images))
            yield (ends, f"{n_images:,}", *(one.value_in_words(2) for one in means))
