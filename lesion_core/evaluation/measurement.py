"""From probabilities to a report's numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lesion_core.evaluation.report import Metrics, Subject
from lesion_core.evaluation.scored import Scored
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.statistics.decision_curve import decision_curve
from lesion_core.statistics.estimates import (
    Estimate,
    area_estimate,
    known,
    mean_estimate,
    overlap_estimate,
    percentile_interval,
    plain_mean_estimate,
    plain_order_estimate,
    share_estimate,
)
from lesion_core.statistics.intervals import OnDrawn, Resampled, ignore_draws, measure
from lesion_core.statistics.measures import CLASS_MEASURES, MEASURES, Measure, is_malignant
from lesion_core.statistics.metrics import (
    MALIGNANT_INDICES,
    confusion_matrix,
    reliability,
    shares_of_true_class,
    summed_probability,
)
from lesion_core.statistics.predictive_values import PredictiveValues, predictive_values
from lesion_core.statistics.rank_intervals import measure_ranking, resample_ranking
from lesion_core.statistics.ranking import Ranking

__all__ = ["N_RESAMPLINGS", "Estimates", "Scored", "estimate_all", "measure_scores", "placed"]

N_RESAMPLINGS = 2  # of what adds up over groups, and of what depends on the order of scores


@dataclass(frozen=True, slots=True)
class Estimates:
    """Every number of ``measures.MEASURES`` by name, and of ``CLASS_MEASURES`` by name, class by class."""

    overall: dict[str, Estimate]
    by_class: tuple[dict[str, Estimate], ...]


def estimate_all(scored: Scored, *, n_bootstrap: int, seed: int, on_drawn: OnDrawn = ignore_draws) -> Estimates:
    """Measure every number of the table, with its interval.

    Args:
        scored: Truth, probabilities and groups.
        n_bootstrap: Resamples.
        seed: Same seed, same intervals.
        on_drawn: Hears of so many more resamples done; ``N_RESAMPLINGS`` times ``n_bootstrap`` in all.
    """
    asked: dict[str, Any] = {"n_bootstrap": n_bootstrap, "seed": seed, "on_drawn": on_drawn}
    sums = measure(scored.class_index, scored.probs, scored.groups, calibrated=scored.calibrated, **asked)
    ranks = _Ranks(
        measure_ranking(scored.class_index, scored.probs),
        resample_ranking(scored.class_index, scored.probs, scored.groups, **asked),
    )
    by_class = tuple(_of_class(scored, sums, ranks, position) for position in range(N_CLASSES))
    overall = {one.name: _overall(one, scored, sums, ranks, by_class) for one in MEASURES}
    return Estimates(overall, by_class)


@dataclass(frozen=True, slots=True)
class _Ranks:
    measured: Ranking
    draws: Ranking

    def estimate(self, of: Callable[[Ranking], np.ndarray], position: int | None = None) -> Estimate:
        value, draws = of(self.measured)[0], of(self.draws)
        if position is not None:
            value, draws = value[position], draws[:, position]
        low, high = percentile_interval(draws) if known(value) is not None else (None, None)
        return Estimate(value=known(value), low=low, high=high, method="none" if low is None else "group bootstrap")


def _of_class(scored: Scored, sums: Resampled, ranks: _Ranks, position: int) -> dict[str, Estimate]:
    is_class, is_called = scored.class_index == position, scored.probs.argmax(axis=1) == position
    return {one.name: _estimate(one, scored, sums, ranks, (is_class, is_called), position) for one in CLASS_MEASURES}


def _overall(
    one: Measure, scored: Scored, sums: Resampled, ranks: _Ranks, by_class: Sequence[dict[str, Estimate]]
) -> Estimate:
    found = _estimate(one, scored, sums, ranks, (scored.class_index, scored.probs.argmax(axis=1)))
    return mean_estimate(found, [each[one.mean_of] for each in by_class]) if one.interval == "mean" else found


def _estimate(
    one: Measure,
    scored: Scored,
    sums: Resampled,
    ranks: _Ranks,
    answers: tuple[np.ndarray, np.ndarray],
    position: int | None = None,
) -> Estimate:
    """Return one number; ``answers``, true and predicted, are what its ``share_of`` takes."""
    found = ranks.estimate(one.of_ranking, position) if one.of_ranking else sums.estimate(one.name, position)
    chosen = one.share_of(*answers)
    n_groups = scored.effective_groups_of(chosen)
    match one.interval:
        case "share":
            return share_estimate(found, n_groups)
        case "overlap":
            return overlap_estimate(found, n_groups, scored.effective_groups_of(answers[0]))
        case "area":
            return area_estimate(found, n_groups, scored.effective_groups_of(~chosen))
        case "plain order":
            return plain_order_estimate(found, n_groups, scored.effective_groups_of(~chosen))
        case "plain mean":
            return plain_mean_estimate(found, n_groups)
        case _:
            return found


def measure_scores(
    scored: Scored, subject: Subject, *, temperature: float, on_drawn: OnDrawn = ignore_draws
) -> Metrics:
    """Measure everything a report says.

    Args:
        scored: Truth, probabilities and groups of the split's images.
        subject: What was evaluated; its ``n_bootstrap`` and ``seed`` are used.
        temperature: What the model's logits were divided by.
        on_drawn: Hears of so many more resamples done; ``N_RESAMPLINGS`` times ``n_bootstrap`` in all.
    """
    found = estimate_all(scored, n_bootstrap=subject.n_bootstrap, seed=subject.seed, on_drawn=on_drawn)
    overall, confusion = found.overall, confusion_matrix(scored.class_index, scored.probs.argmax(axis=1))
    numbers = placed({one.place or f"further.{one.name}": overall[one.name] for one in MEASURES})
    classes = tuple(_class_metrics(scored, place, by_name) for place, by_name in enumerate(found.by_class))
    values = _predictive_values(overall)
    numbers["malignancy"] |= {
        f"ppv_at_{row.prevalence * 100:.0f}_percent": row.ppv.value
        for row in values.rows
        if row.decision == "leading class" and row.prevalence <= 0.05
    }
    numbers["probabilities"] |= {
        "temperature": temperature,
        "bins": _bins(scored),
        "class_prior": tuple(scored.class_prior.tolist()),
        "class_shares": tuple(scored.class_shares.tolist()),
    }
    return Metrics.model_validate(
        {
            "subject": subject,
            "chance": 1 / len(subject.classes_present),
            "classes": classes,
            "confusion": tuple(tuple(row) for row in confusion.tolist()),
            "confusion_by_row": tuple(
                tuple(known(share) for share in row) for row in shares_of_true_class(confusion)
            ),
            "predictive_values": values,
            "decision_curve": decision_curve(
                is_malignant(scored.class_index), summed_probability(scored.calibrated, MALIGNANT_INDICES)
            ),
            **numbers,
        }
    )


def placed(numbers: Mapping[str, Estimate]) -> dict[str, Any]:
    """Return numbers by dotted place as nested dictionaries."""
    nested: dict[str, Any] = {}
    for place, number in numbers.items():
        *groups, name = place.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[name] = number
    return nested


def _class_metrics(scored: Scored, position: int, found: Mapping[str, Estimate]) -> dict[str, Any]:
    is_class = scored.class_index == position
    return {
        "diagnosis": CLASS_ORDER[position],
        "n_images": int(is_class.sum()),
        "n_groups": scored.n_groups_of(is_class),
        **placed({one.place or f"further.{one.name}": found[one.name] for one in CLASS_MEASURES}),
    }


def _predictive_values(overall: Mapping[str, Estimate]) -> PredictiveValues:
    leading = predictive_values("leading class", overall["malignant_sensitivity"], overall["malignant_specificity"])
    summed = predictive_values(
        "summed probability", overall["malignant_sum_sensitivity"], overall["malignant_sum_specificity"]
    )
    return PredictiveValues(rows=leading + summed)


def _bins(scored: Scored) -> tuple[tuple[int, float, float], ...]:
    bins = reliability(scored.class_index, scored.calibrated)
    return tuple(
        (int(count), float(said), float(right))
        for count, said, right in zip(bins.count, bins.confidence_sum, bins.correct_sum, strict=True)
    )
