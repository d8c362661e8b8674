"""The numbers of a report, one line each: what is measured, how sure it is, and how it is shown.

Measurement, intervals, the report's JSON, tables, card and leaderboard follow from ``MEASURES`` (one number each) and
``CLASS_MEASURES`` (one number for each class). A new line is all that a new number needs, besides the versions of the
steps that it changes (``evaluate``, and ``compare`` where it stands in ``LEADERBOARD``).
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from lesion_core.labels import MALIGNANT
from lesion_core.statistics.measure_kinds import ClassMeasure, Measure, Totals
from lesion_core.statistics.metrics import (
    MALIGNANT_INDICES,
    MELANOMA_INDEX,
    SUM_THRESHOLD,
    SUMS,
    accuracy_of,
    balanced_accuracy_of,
    brier_terms,
    calibration_error_of,
    class_rates,
    log_loss_terms,
    malignant_rates,
    mean_known,
    rates_of_decisions,
)
from lesion_core.statistics.ranking import SCREENING_SPECIFICITY, SENSITIVITIES, SPECIFICITIES

__all__ = ["BY_NAME", "CLASS_MEASURES", "LEADERBOARD", "MEASURES", "ClassMeasure", "Measure", "Totals"]


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
        "npv",
        "NPV",
        interval="share",
        of_totals=lambda totals: class_rates(totals.confusion).npv,
        share_of=lambda is_class, is_called: ~is_called,
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
        of_ranking=lambda ranking: ranking.by_class.auc,
        share_of=lambda is_class, is_called: is_class,
        interval_label="AUC 95 % interval",
        card_columns=("AUC",),
    ),
    ClassMeasure(
        "pr_auc",
        "PR AUC",
        interval="plain order",
        of_ranking=lambda ranking: ranking.by_class.average_precision,
        share_of=lambda is_class, is_called: is_class,
        card_columns=("PR AUC",),
    ),
    ClassMeasure(
        "partial_auc",
        "partial AUC",
        note="above 80 % sensitivity, 0 to 0.2",
        interval="plain order",
        of_ranking=lambda ranking: ranking.by_class.partial_auc,
        share_of=lambda is_class, is_called: is_class,
    ),
)


def _of_sum(name: str) -> tuple[Measure, ...]:
    """Return the numbers of malignancy by one of ``metrics.SUMS``."""
    place, members = list(SUMS).index(name), SUMS[name]
    area = Measure(
        f"{name}_auc",
        f"{_in_words(name)} AUC",
        note="by the summed probability",
        interval="area",
        of_ranking=lambda ranking: ranking.sums.auc[:, place],
        share_of=lambda true, called: np.isin(true, members),
        is_headline=place == 0,
    )
    return area, _of_decision(name, "sensitivity"), _of_decision(name, "specificity")


def _of_decision(name: str, rate: Literal["sensitivity", "specificity"]) -> Measure:
    place, members, which = list(SUMS).index(name), SUMS[name], ("sensitivity", "specificity").index(rate)
    return Measure(
        f"{name}_sum_{rate}",
        f"{_in_words(name)} {rate}",
        note=f"summed probability from {SUM_THRESHOLD}",
        interval="share",
        of_totals=lambda totals: rates_of_decisions(totals.decisions[:, place])[which],
        share_of=lambda true, called: np.isin(true, members) == (rate == "sensitivity"),
        is_headline=place == 0,
    )


def _in_words(name: str) -> str:
    return name.replace("_ak", "_AK").replace("_", " ")


def _melanoma_sensitivity(specificity: float) -> Measure:
    percent = round(specificity * 100)
    return Measure(
        f"melanoma_sensitivity_at_{percent}_specificity",
        f"melanoma sensitivity at {percent} % specificity",
        interval="share",
        of_ranking=lambda ranking: ranking.by_class.sensitivity_at[specificity][:, MELANOMA_INDEX],
        share_of=lambda true, called: true == MELANOMA_INDEX,
    )


def _melanoma_specificity(sensitivity: float) -> Measure:
    percent = round(sensitivity * 100)
    return Measure(
        f"melanoma_specificity_at_{percent}_sensitivity",
        f"melanoma specificity at {percent} % sensitivity",
        interval="plain order",
        of_ranking=lambda ranking: ranking.by_class.specificity_at[sensitivity][:, MELANOMA_INDEX],
        share_of=lambda true, called: true == MELANOMA_INDEX,
    )


def _malignant_specificity(sensitivity: float) -> Measure:
    percent = round(sensitivity * 100)
    return Measure(
        f"malignant_specificity_at_{percent}_sensitivity",
        f"malignant specificity at {percent} % sensitivity",
        note="by the summed probability",
        interval="plain order",
        of_ranking=lambda ranking: ranking.sums.specificity_at[sensitivity][:, 0],
        share_of=lambda true, called: is_malignant(true),
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
        of_ranking=lambda ranking: ranking.by_class.sensitivity_at[SCREENING_SPECIFICITY][:, MELANOMA_INDEX],
        share_of=lambda true, called: true == MELANOMA_INDEX,
        column=f"MEL sensitivity at {SCREENING_SPECIFICITY:.2f} specificity",
    ),
    *(measure for name in SUMS for measure in _of_sum(name)),
    *(_melanoma_sensitivity(level) for level in SPECIFICITIES if level != SCREENING_SPECIFICITY),
    *(_melanoma_specificity(level) for level in SENSITIVITIES),
    *(_malignant_specificity(level) for level in SENSITIVITIES[1:]),
    Measure(
        "macro_auc",
        "mean AUC, one class against the rest",
        place="macro_auc",
        interval="mean",
        mean_of="auc",
        of_ranking=lambda ranking: mean_known(ranking.by_class.auc),
        column="mean AUC",
    ),
    Measure(
        "macro_pr_auc",
        "mean PR AUC",
        interval="mean",
        mean_of="pr_auc",
        of_ranking=lambda ranking: mean_known(ranking.by_class.average_precision),
    ),
    Measure(
        "macro_partial_auc",
        "mean partial AUC",
        note="above 80 % sensitivity, 0 to 0.2",
        interval="mean",
        mean_of="partial_auc",
        of_ranking=lambda ranking: mean_known(ranking.by_class.partial_auc),
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
