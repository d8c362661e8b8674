"""From probabilities to a report's numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lesion_core.evaluation.report import Metrics, Subject
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.statistics.calibration import FLAT, bring_to_shares
from lesion_core.statistics.estimates import (
    MIN_GROUPS_OF_A_SHARE,
    MIN_GROUPS_OF_AN_AREA,
    Estimate,
    area_estimate,
    known,
    mean_estimate,
    overlap_estimate,
    percentile_interval,
    plain_mean_estimate,
    resampled_estimate,
    share_estimate,
)
from lesion_core.statistics.intervals import OnDrawn, Resampled, group_codes, ignore_draws, measure
from lesion_core.statistics.measures import CLASS_MEASURES, MEASURES, Measure
from lesion_core.statistics.metrics import confusion_matrix, reliability
from lesion_core.statistics.rank_intervals import measure_ranking, resample_ranking
from lesion_core.statistics.ranking import Ranking

N_RESAMPLINGS = 2  # of what adds up over groups, and of what depends on the order of scores


@dataclass(frozen=True)
class Scored:
    """What is measured.

    Attributes:
        class_index: int (n,).
        probs: float (n, k), as the model answers.
        groups: (n,).
        class_prior: float (k,) or, of each row, (n, k): the class shares that ``probs`` stand for.
    """

    class_index: np.ndarray
    probs: np.ndarray
    groups: np.ndarray
    class_prior: np.ndarray = field(default_factory=lambda: FLAT)

    @property
    def class_shares(self) -> np.ndarray:
        """Return the shares of the classes among these images, float64 (k,)."""
        return np.bincount(self.class_index, minlength=N_CLASSES) / len(self.class_index)

    @cached_property
    def calibrated(self) -> np.ndarray:
        """Return the probabilities for these images' class shares, float64 (n, k).

        How right probabilities are can only be asked in the population that they are for: those of a perfect model
        for a flat prior are wrong by as much as the classes of the images differ in number.
        """
        return bring_to_shares(self.probs, self.class_prior, self.class_shares)

    def n_groups_of(self, chosen: np.ndarray) -> int:
        """Return how many groups the chosen images, bool (n,), belong to."""
        return int(np.count_nonzero(np.bincount(self._codes[chosen])))

    @cached_property
    def _codes(self) -> np.ndarray:
        return group_codes(self.groups)


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
    n_groups = scored.n_groups_of(chosen)
    match one.interval:
        case "share":
            return share_estimate(found, n_groups)
        case "overlap":
            return overlap_estimate(found, n_groups, scored.n_groups_of(answers[0]))
        case "area":
            return area_estimate(found, n_groups, scored.n_groups_of(~chosen))
        case "plain area":
            return resampled_estimate(found, min(n_groups, scored.n_groups_of(~chosen)), MIN_GROUPS_OF_AN_AREA)
        case "threshold":
            return resampled_estimate(found, min(n_groups, scored.n_groups_of(~chosen)), MIN_GROUPS_OF_A_SHARE)
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
    numbers["malignancy"] |= _predictive_values(overall["malignant_sensitivity"], overall["malignant_specificity"])
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


def _predictive_values(sensitivity: Estimate, specificity: Estimate) -> dict[str, float | None]:
    return {
        f"ppv_at_{percent}_percent": _ppv(sensitivity.value, specificity.value, percent / 100) for percent in (1, 5)
    }


def _ppv(sensitivity: float | None, specificity: float | None, prevalence: float) -> float | None:
    """Return the positive predictive value by Bayes' rule; ``None`` where nothing is ever called malignant."""
    if sensitivity is None or specificity is None:
        return None
    found, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return found / (found + alarms) if found + alarms > 0 else None


def _bins(scored: Scored) -> tuple[tuple[int, float, float], ...]:
    bins = reliability(scored.class_index, scored.calibrated)
    return tuple(
        (int(count), float(said), float(right))
        for count, said, right in zip(bins.count, bins.confidence_sum, bins.correct_sum, strict=True)
    )
