"""What a line of the table of numbers says: what is measured, how sure it is, and how it is shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lesion_core.statistics.metrics import Reliability
from lesion_core.statistics.ranking import Ranking

Interval = Literal["resampled", "share", "overlap", "area", "plain order", "mean", "plain mean", "none"]


@dataclass(frozen=True, slots=True)
class Totals:
    """What adds up over images, of each of b resamples.

    Attributes:
        confusion: float (b, k, k), true classes in rows, predicted ones in columns.
        means: Mean over the images, (b,), of each measure that has ``terms``, by name.
        bins: Sums over bins of the leading probability, each (b, n_bins).
        decisions: float (b, 2, 4), images by each of ``metrics.SUMS`` and the cells of ``metrics.decisions_of_sums``.
    """

    confusion: np.ndarray
    means: Mapping[str, np.ndarray]
    bins: Reliability
    decisions: np.ndarray


@dataclass(frozen=True, slots=True)
class Measure:
    """One number. Exactly one of ``of_totals``, ``of_ranking`` and ``terms`` says how it is computed.

    Attributes:
        name: As in JSON and CSV.
        label: As in tables.
        place: Where a report's JSON has it, dotted; empty: under ``further``, by name.
        note: What a reader must know, after the label in brackets; ``{chance}`` is the level of a guess.
        better: Which numbers are the better ones.
        interval: 'resampled': percentiles of the resamples. Where those say too little: 'share': Wilson's, of the
            groups with an image in ``share_of``; 'overlap': the same of an F1; 'area': Newcombe's, ``share_of`` being
            the images to find; 'plain order': none, of anything else that the order of scores decides, with the same
            ``share_of``; 'mean': from those of the class measure ``mean_of``; 'plain mean': none. 'none': all
            resamples lie on one side of the measured number.
        of_totals: Returns (b,), of a class measure (b, k).
        of_ranking: The same, from the order of scores.
        terms: Returns each image's part, (n,), from ``class_index`` (n,) and ``probs`` (n, k); the mean counts.
        share_of: Returns the images that a share is taken over, bool (n,), from true and predicted classes, int
            (n,) each; of a class measure, from whether an image is of the class and was called so, bool (n,) each.
        column: Heading in a leaderboard.
        is_headline: Whether the report's first table has it.
        is_of_probabilities: Whether it asks how right probabilities are, which depends on the class shares that they
            are for.
    """

    name: str
    label: str
    place: str = ""
    note: str = ""
    better: Literal["higher", "lower"] = "higher"
    interval: Interval = "resampled"
    of_totals: Callable[[Totals], np.ndarray] | None = None
    of_ranking: Callable[[Ranking], np.ndarray] | None = None
    terms: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    share_of: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda true, called: np.ones(len(true), bool)
    mean_of: str = ""
    column: str = ""
    is_headline: bool = True
    is_of_probabilities: bool = False

    def heading(self, chance: float, *, at_shares: bool = True) -> str:
        """Return the label with its notes in brackets, e.g. 'balanced accuracy (chance 0.125)'.

        Args:
            chance: Level of a guess.
            at_shares: Whether probabilities were brought to the class shares of the images, which the heading of a
                measure of them then says.
        """
        notes = [self.note.format(chance=f"{chance:.3f}")] if self.note else []
        notes += ["at these images' class shares"] if at_shares and self.is_of_probabilities else []
        notes += ["lower is better"] if self.better == "lower" else []
        return f"{self.label} ({', '.join(notes)})" if notes else self.label


@dataclass(frozen=True, slots=True)
class ClassMeasure(Measure):
    """One number for each class against the rest.

    Attributes:
        interval_label: Heading of its interval's column in the table by class; empty: the table has none.
        card_columns: What of it the card's table has: label, interval label, both or nothing.
    """

    interval_label: str = ""
    card_columns: tuple[str, ...] = ()
