"""From probabilities to a report's numbers."""

from dataclasses import dataclass

import numpy as np

from lesion_core.evaluation.report import ClassMetrics, Malignancy, Metrics, Probabilities, Subject
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.statistics.estimates import Estimate, known, mean_estimate, percentile_interval, share_estimate
from lesion_core.statistics.intervals import OnDrawn, Resampled, group_codes, ignore_draws, measure
from lesion_core.statistics.metrics import (
    MALIGNANT_INDICES,
    MELANOMA_INDEX,
    SCREENING_SPECIFICITY,
    class_aucs,
    confusion_matrix,
    mean_known,
    reliability,
    roc_of,
)
from lesion_core.statistics.rank_intervals import RankedDraws, resample_ranking

N_RESAMPLINGS = 2  # of what adds up over groups, and of what depends on the order of scores


@dataclass(frozen=True, slots=True)
class Scored:
    """What is measured: ``class_index`` int (n,), ``probs`` float (n, 8), ``groups`` (n,)."""

    class_index: np.ndarray
    probs: np.ndarray
    groups: np.ndarray

    def n_groups_of(self, chosen: np.ndarray) -> int:
        """Return how many groups the chosen images, bool (n,), belong to."""
        return len(np.unique(group_codes(self.groups)[chosen]))


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
    n_bootstrap, seed = subject.n_bootstrap, subject.seed
    sums = measure(
        scored.class_index, scored.probs, scored.groups, n_bootstrap=n_bootstrap, seed=seed, on_drawn=on_drawn
    )
    ranks = resample_ranking(
        scored.class_index,
        scored.probs,
        scored.groups,
        specificity=SCREENING_SPECIFICITY,
        n_bootstrap=n_bootstrap,
        seed=seed,
        on_drawn=on_drawn,
    )
    aucs = class_aucs(scored.class_index, scored.probs)
    confusion = confusion_matrix(scored.class_index, scored.probs.argmax(axis=1))
    classes = tuple(_class(scored, sums, aucs, ranks, position) for position in range(N_CLASSES))
    return Metrics(
        subject=subject,
        chance=1 / len(subject.classes_present),
        balanced_accuracy=mean_estimate(sums.estimate("balanced_accuracy"), [one.sensitivity for one in classes]),
        accuracy=share_estimate(sums.estimate("accuracy"), subject.n_groups),
        macro_f1=sums.estimate("macro_f1"),
        macro_auc=_drawn(float(mean_known(aucs)), mean_known(ranks.auc)),
        malignancy=_malignancy(scored, sums, ranks),
        probabilities=_probabilities(scored, sums, temperature),
        classes=classes,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _class(scored: Scored, sums: Resampled, aucs: np.ndarray, ranks: RankedDraws, position: int) -> ClassMetrics:
    is_class = scored.class_index == position
    n_groups = scored.n_groups_of(is_class)
    return ClassMetrics(
        diagnosis=CLASS_ORDER[position],
        n_images=int(is_class.sum()),
        n_groups=n_groups,
        sensitivity=share_estimate(sums.estimate("sensitivity", position), n_groups),
        specificity=share_estimate(sums.estimate("specificity", position), scored.n_groups_of(~is_class)),
        precision=sums.estimate("precision", position),
        f1=sums.estimate("f1", position),
        auc=_drawn(float(aucs[position]), ranks.auc[:, position]),
    )


def _malignancy(scored: Scored, sums: Resampled, ranks: RankedDraws) -> Malignancy:
    is_malignant = np.isin(scored.class_index, MALIGNANT_INDICES)
    sensitivity = share_estimate(sums.estimate("malignant_sensitivity"), scored.n_groups_of(is_malignant))
    specificity = share_estimate(sums.estimate("malignant_specificity"), scored.n_groups_of(~is_malignant))
    curve = roc_of(scored.class_index, scored.probs, MELANOMA_INDEX)
    melanoma = float("nan") if curve is None else curve.sensitivity_at(SCREENING_SPECIFICITY)
    return Malignancy(
        sensitivity=sensitivity,
        specificity=specificity,
        ppv_at_1_percent=_ppv(sensitivity.value, specificity.value, 0.01),
        ppv_at_5_percent=_ppv(sensitivity.value, specificity.value, 0.05),
        melanoma_sensitivity_at_80_specificity=share_estimate(
            _drawn(melanoma, ranks.sensitivity[:, MELANOMA_INDEX]),
            scored.n_groups_of(scored.class_index == MELANOMA_INDEX),
        ),
    )


def _ppv(sensitivity: float | None, specificity: float | None, prevalence: float) -> float | None:
    """Return the positive predictive value by Bayes' rule; ``None`` where nothing is ever called malignant."""
    if sensitivity is None or specificity is None:
        return None
    found, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return found / (found + alarms) if found + alarms > 0 else None


def _probabilities(scored: Scored, sums: Resampled, temperature: float) -> Probabilities:
    bins = reliability(scored.class_index, scored.probs)
    return Probabilities(
        temperature=temperature,
        brier=sums.estimate("brier"),
        log_loss=sums.estimate("log_loss"),
        calibration_error=sums.estimate("calibration_error"),
        bins=tuple(
            (int(count), float(said), float(right))
            for count, said, right in zip(bins.count, bins.confidence_sum, bins.correct_sum, strict=True)
        ),
    )


def _drawn(value: float, draws: np.ndarray) -> Estimate:
    low, high = percentile_interval(draws) if known(value) is not None else (None, None)
    return Estimate(value=known(value), low=low, high=high, method="none" if low is None else "group bootstrap")
