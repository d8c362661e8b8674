"""The numbers of a report, one line each: what is measured, how sure it is, and how it is shown.

Measurement, intervals, the report's JSON, tables, card and leaderboard follow from ``MEASURES`` (one number each) and
``CLASS_MEASURES`` (one number for each class). A new line is all that a new number needs, besides the versions of the
steps that it changes (``evaluate``, and ``compare`` where it stands in ``LEADERBOARD``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lesion_core.labels import MALIGNANT
from lesion_core.statistics.metrics import (
    MALIGNANT_INDICES,
    MELANOMA_INDEX,
    SCREENING_SPECIFICITY,
    Reliability,
    accuracy_of,
    balanced_accuracy_of,
    brier_terms,
    calibration_error_of,
    class_rates,
    log_loss_terms,
    malignant_rates,
    mean_known,
)


@dataclass(frozen=True, slots=True)
class Totals:
    """What adds up over images, of each of b resamples.

    Attributes:
        confusion: float (b, k, k), true classes in rows, predicted ones in columns.
        means: Mean over the images, (b,), of each measure that has ``terms``, by name.
        bins: Sums over bins of the leading probability, each (b, n_bins).
    """

    confusion: np.ndarray
    means: Mapping[str, np.ndarray]
    bins: Reliability


@dataclass(frozen=True, slots=True)
class Ranking:
    """Of each of b resamples and each class, float (b, k), NaN where the class has no image or every image.

    Attributes:
        auc: Area under the ROC curve of the class against the rest.
        sensitivity: The best at ``SCREENING_SPECIFICITY`` or more.
    """

    auc: np.ndarray
    sensitivity: np.ndarray


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
            groups with an image in ``share_of``; 'overlap': the same of an F1; 'area': Newcombe's; 'mean': from
            those of the class measure ``mean_of``; 'plain mean': none. 'none': all resamples lie on one side of the
            measured number.
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
    interval: Literal["resampled", "share", "overlap", "area", "mean", "plain mean", "none"] = "resampled"
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


def is_malignant(class_index: np.ndarray) -> np.ndarray:
    """Return which images are of a malignant class, bool (n,)."""
    return np.isin(class_index, MALIGNANT_INDICES)


CLASS_MEASURES: tuple[ClassMeasure, ...] = (
    ClassMeasure(
        "sensitivity",
        "sensitivity",
        place="sensitivity",
        interval="share",
        of_totals=lambda totals: class_rates(totals.confusion).sensitivity,
        share_of=lambda is_class, is_called: is_class,
        interval_label="95 % interval",
        card_columns=("sensitivity", "95 % interval"),
    ),
    ClassMeasure(
        "specificity",
        "specificity",
        place="specificity",
        interval="share",
        of_totals=lambda totals: class_rates(totals.confusion).specificity,
        share_of=lambda is_class, is_called: ~is_class,
        card_columns=("specificity",),
    ),
    ClassMeasure(
        "precision",
        "precision",
        place="precision",
        interval="share",
        of_totals=lambda totals: class_rates(totals.confusion).precision,
        share_of=lambda is_class, is_called: is_called,
    ),
    ClassMeasure(
        "f1",
        "F1",
        place="f1",
        interval="overlap",
        of_totals=lambda totals: class_rates(totals.confusion).f1,
        share_of=lambda is_class, is_called: is_class | is_called,
    ),
    ClassMeasure(
        "auc",
        "AUC",
        place="auc",
        interval="area",
        of_ranking=lambda ranking: ranking.auc,
        interval_label="AUC 95 % interval",
        card_columns=("AUC",),
    ),
)

MEASURES: tuple[Measure, ...] = (
    Measure(
        "balanced_accuracy",
        "balanced accuracy",
        place="balanced_accuracy",
        note="chance {chance}",
        interval="mean",
        mean_of="sensitivity",
        of_totals=lambda totals: balanced_accuracy_of(totals.confusion),
    ),
    Measure(
        "malignant_sensitivity",
        "malignant sensitivity",
        place="malignancy.sensitivity",
        note=f"{', '.join(MALIGNANT)} pooled",
        interval="share",
        of_totals=lambda totals: malignant_rates(totals.confusion)[0],
        share_of=lambda true, called: is_malignant(true),
    ),
    Measure(
        "malignant_specificity",
        "malignant specificity",
        place="malignancy.specificity",
        interval="share",
        of_totals=lambda totals: malignant_rates(totals.confusion)[1],
        share_of=lambda true, called: ~is_malignant(true),
    ),
    Measure(
        "melanoma_sensitivity_at_80_specificity",
        "melanoma sensitivity at 80 % specificity",
        place="malignancy.melanoma_sensitivity_at_80_specificity",
        interval="share",
        of_ranking=lambda ranking: ranking.sensitivity[:, MELANOMA_INDEX],
        share_of=lambda true, called: true == MELANOMA_INDEX,
        column=f"MEL sensitivity at {SCREENING_SPECIFICITY:.2f} specificity",
    ),
    Measure(
        "macro_auc",
        "mean AUC, one class against the rest",
        place="macro_auc",
        interval="mean",
        mean_of="auc",
        of_ranking=lambda ranking: mean_known(ranking.auc),
        column="mean AUC",
    ),
    Measure(
        "macro_f1",
        "mean F1",
        place="macro_f1",
        interval="mean",
        mean_of="f1",
        of_totals=lambda totals: mean_known(class_rates(totals.confusion).f1),
    ),
    Measure(
        "accuracy",
        "accuracy",
        place="accuracy",
        interval="share",
        of_totals=lambda totals: accuracy_of(totals.confusion),
    ),
    Measure(
        "brier",
        "Brier score",
        place="probabilities.brier",
        note="0 to 2",
        is_of_probabilities=True,
        better="lower",
        interval="plain mean",
        terms=brier_terms,
        column="Brier",
    ),
    Measure(
        "log_loss",
        "log loss",
        place="probabilities.log_loss",
        note="nats",
        is_of_probabilities=True,
        better="lower",
        interval="plain mean",
        terms=log_loss_terms,
        column="log loss",
        is_headline=False,
    ),
    Measure(
        "calibration_error",
        "expected calibration error",
        place="probabilities.calibration_error",
        is_of_probabilities=True,
        better="lower",
        interval="none",  # resampling noise adds to every bin's gap, so all resamples lie above
        of_totals=lambda totals: calibration_error_of(totals.bins),
    ),
)
BY_NAME: Mapping[str, Measure] = {one.name: one for one in MEASURES}
# Beside balanced accuracy, which orders the recipes; in the order of the columns.
LEADERBOARD: tuple[Measure, ...] = tuple(
    BY_NAME[name] for name in ("macro_auc", "melanoma_sensitivity_at_80_specificity", "brier", "log_loss")
)
