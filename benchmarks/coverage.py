"""How often the 95 % intervals of a report hold the truth, by how many groups a class has.

::

    python -m benchmarks.coverage [--sets 400] [--bootstrap 200]

Test sets are drawn from a population whose truth is known: groups of one to five images that resemble each other,
seven classes of equally many groups, and nevi of 300 or more. The scores are those of a model that knows the
likelihoods; some classes are easier than others. Beside the intervals that a report prints stand those of resampling
alone.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from benchmarks.measure import write_result
from lesion_core.evaluation.measurement import Scored, estimate_all
from lesion_core.labels import CLASS_ORDER, N_CLASSES, Diagnosis
from lesion_core.statistics.calibration import apply_temperature
from lesion_core.statistics.estimates import Estimate, percentile_interval
from lesion_core.statistics.intervals import measure
from lesion_core.statistics.metrics import MALIGNANT_INDICES, class_rates, malignant_rates
from lesion_core.statistics.paired import paired_difference
from lesion_core.statistics.rank_intervals import resample_ranking
from lesion_core.statistics.ranking import PARTIAL_AUC_SENSITIVITY

GROUPS = (5, 10, 15, 20, 30, 50, 100, 200)
_NEVI = 300
_EASE = np.array([1.6, 2.2, 2.6, 1.4, 1.6, 2.4, 3.6, 1.5])  # how far the classes lie apart
_SIZES, _SHARES = (1, 2, 3, 5), (0.65, 0.2, 0.1, 0.05)  # images of a group
_ALIKE = 0.6  # share of the variance that a group's images have in common
_WORSE = 0.8  # how much of its evidence the other model sees, of a pair
_POPULATION = 40_000  # groups of each class that the truth is counted in
_NV = CLASS_ORDER.index(Diagnosis.NV)
SHOWN = {
    "sensitivity": "sensitivity",
    "precision": "precision",
    "f1": "F1",
    "auc": "AUC",
    "pr_auc": "PR AUC",
    "partial_auc": "partial AUC",
    "balanced_accuracy": "balanced accuracy",
    "macro_auc": "mean AUC",
    "macro_f1": "mean F1",
    "malignant_sensitivity": "malignant sensitivity",
    "malignant_auc": "malignant AUC, summed probability",
    "melanoma_sensitivity_at_90_specificity": "melanoma sensitivity at 90 % specificity",
    "melanoma_specificity_at_90_sensitivity": "melanoma specificity at 90 % sensitivity",
    "log_loss": "log loss",
    "brier": "Brier score",
    "difference": "paired difference in balanced accuracy",
}


@dataclass(frozen=True)
class Sample:
    """Images of a population: true classes (n,), groups (n,), probabilities of two models (n, k)."""

    true: np.ndarray
    groups: np.ndarray
    probs: np.ndarray
    others: np.ndarray


def draw(n_groups: np.ndarray, random: np.random.Generator) -> Sample:
    """Draw so many groups of each class, int (k,)."""
    of_group = np.repeat(np.arange(N_CLASSES), n_groups)
    sizes = random.choice(_SIZES, size=len(of_group), p=_SHARES)
    groups = np.repeat(np.arange(len(of_group)), sizes)
    true = of_group[groups]
    common = random.normal(size=(len(of_group), N_CLASSES))[groups]
    own, further = (random.normal(size=(len(true), N_CLASSES)) for _ in range(2))
    noise = np.sqrt(_ALIKE) * common + np.sqrt(1 - _ALIKE) * own
    evidence = _EASE[true][:, None] * np.eye(N_CLASSES)[true] + noise
    worse = _WORSE * evidence + np.sqrt(1 - _WORSE**2) * further
    return Sample(true, groups, _probs(evidence, _EASE), _probs(worse, _WORSE * _EASE))


def _probs(evidence: np.ndarray, ease: np.ndarray) -> np.ndarray:
    return apply_temperature(ease * evidence - ease**2 / 2, 1.0).astype(np.float64)


def truth_of(n_groups: np.ndarray) -> dict[str, float]:
    """Return what the numbers of a test set of this design stand for; class measures are of MEL."""
    # A population with the design's shares of classes: as it is drawn, but much larger.
    factor = _POPULATION / n_groups.max()
    sample = draw(np.maximum(2000, (n_groups * factor).astype(np.int64)), np.random.default_rng(1))
    n_images = np.bincount(sample.true, minlength=N_CLASSES)
    weights = (n_groups / n_images)[sample.true]
    predicted, other = sample.probs.argmax(axis=1), sample.others.argmax(axis=1)
    confusion = _weighed(sample.true, predicted, weights)
    rates = class_rates(confusion)
    return {
        "sensitivity": rates.sensitivity[0],
        "precision": rates.precision[0],
        "f1": rates.f1[0],
        "balanced_accuracy": rates.sensitivity.mean(),
        "macro_f1": rates.f1.mean(),
        "malignant_sensitivity": float(malignant_rates(confusion)[0]),
        **_of_order(sample, weights),
        **_of_probabilities(sample, n_groups, weights),
        "difference": rates.sensitivity.mean()
        - class_rates(_weighed(sample.true, other, weights)).sensitivity.mean(),
    }


def _weighed(true: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    cells = np.bincount(true * N_CLASSES + predicted, weights, minlength=N_CLASSES**2)
    return cells.reshape(N_CLASSES, N_CLASSES)


def _of_order(sample: Sample, weights: np.ndarray) -> dict[str, float]:
    areas = []
    for position in range(N_CLASSES):
        order = np.argsort(sample.probs[:, position], kind="stable")
        is_class, mass = sample.true[order] == position, weights[order]
        below = np.cumsum(np.where(is_class, 0.0, mass))
        areas.append((below * mass)[is_class].sum() / (mass[is_class].sum() * below[-1]))
    is_first, scores = sample.true == 0, sample.probs[:, 0]
    alarms, found, _ = roc_curve(is_first, scores, sample_weight=weights)
    beyond = np.maximum(found - PARTIAL_AUC_SENSITIVITY, 0)
    malignant = np.isin(sample.true, MALIGNANT_INDICES)
    return {
        "auc": areas[0],
        "macro_auc": float(np.mean(areas)),
        "pr_auc": average_precision_score(is_first, scores, sample_weight=weights),
        "partial_auc": float(np.trapezoid(beyond, alarms)),
        "malignant_auc": roc_auc_score(
            malignant, sample.probs[:, MALIGNANT_INDICES].sum(axis=1), sample_weight=weights
        ),
        "melanoma_sensitivity_at_90_specificity": found[alarms <= 0.1].max(),
        "melanoma_specificity_at_90_sensitivity": 1 - alarms[found >= 0.9].min(),
    }


def _of_probabilities(sample: Sample, n_groups: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    odds = sample.probs * n_groups
    here = odds / odds.sum(axis=1, keepdims=True)
    of_truth = np.maximum(here[np.arange(len(here)), sample.true], 1e-12)
    brier = ((here - np.eye(N_CLASSES)[sample.true]) ** 2).sum(axis=1)
    total = weights.sum()
    return {
        "log_loss": float(-(weights * np.log(of_truth)).sum() / total),
        "brier": float((weights * brier).sum() / total),
    }


def intervals(sample: Sample, n_bootstrap: int, seed: int) -> Iterator[tuple[str, str, Estimate]]:
    """Yield (number, 'printed' or 'resampling', estimate)."""
    found = estimate_all(Scored(sample.true, sample.probs, sample.groups), n_bootstrap=n_bootstrap, seed=seed)
    sums = measure(sample.true, sample.probs, sample.groups, n_bootstrap=n_bootstrap, seed=seed)
    ranks = resample_ranking(sample.true, sample.probs, sample.groups, n_bootstrap=n_bootstrap, seed=seed)
    for name in SHOWN:
        if name in found.by_class[0]:
            yield name, "printed", found.by_class[0][name]
        elif name != "difference":
            yield name, "printed", found.overall[name]
    for name in ("sensitivity", "precision", "f1"):
        yield name, "resampling", sums.estimate(name, 0)
    for name in ("balanced_accuracy", "macro_f1", "malignant_sensitivity"):
        yield name, "resampling", sums.estimate(name)
    ordered = {
        "auc": ranks.by_class.auc[:, 0],
        "macro_auc": ranks.by_class.auc.mean(axis=1),
        "pr_auc": ranks.by_class.average_precision[:, 0],
        "partial_auc": ranks.by_class.partial_auc[:, 0],
        "malignant_auc": ranks.sums.auc[:, 0],
        "melanoma_sensitivity_at_90_specificity": ranks.by_class.sensitivity_at[0.90][:, 0],
        "melanoma_specificity_at_90_sensitivity": ranks.by_class.specificity_at[0.90][:, 0],
    }
    for name, draws in ordered.items():
        low, high = percentile_interval(draws)
        yield name, "resampling", Estimate(value=0.0, low=low, high=high)
    pair = paired_difference(
        *(sample.true, sample.probs.argmax(axis=1), sample.others.argmax(axis=1), sample.groups),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    yield "difference", "printed", pair.balanced_accuracy.difference


def coverage(n: int, n_sets: int, n_bootstrap: int) -> dict[str, dict[str, float]]:
    """Return the share of intervals that hold the truth, by 'printed' and 'resampling', then by number."""
    n_groups = np.full(N_CLASSES, n)
    n_groups[_NV] = max(n, _NEVI)
    truth, held = truth_of(n_groups), defaultdict(list)
    for number in range(n_sets):
        sample = draw(n_groups, np.random.default_rng([number, n]))
        for name, how, one in intervals(sample, n_bootstrap, number):
            if one.low is not None and one.high is not None:
                held[how, name].append(one.low <= truth[name] <= one.high)
    return {
        how: {name: float(np.mean(held[how, name])) for name in SHOWN if held[how, name]}
        for how in ("printed", "resampling")
    }


def main() -> None:
    """Draw the test sets and write ``docs/results/coverage.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400)
    parser.add_argument("--bootstrap", type=int, default=200)
    options = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {n: pool.submit(coverage, n, options.sets, options.bootstrap) for n in reversed(GROUPS)}
    found = {n: running[n].result() for n in GROUPS}
    rows = [
        [
            label,
            *(_cell(found[n]["printed"].get(name), found[n]["resampling"].get(name)) for n in GROUPS),
        ]
        for name, label in SHOWN.items()
    ]
    command = f"python -m benchmarks.coverage --sets {options.sets} --bootstrap {options.bootstrap}"
    result = {
        "coverage": {str(n): each for n, each in found.items()},
        "table": {"header": ["number", *(f"{n} groups" for n in GROUPS)], "rows": rows},
    }
    print(write_result("coverage", command, result))


def _cell(printed: float | None, resampled: float | None) -> str:
    if printed is None:
        return "no interval" + ("" if resampled is None else f" ({resampled:.2f})")
    return f"{printed:.2f}" + ("" if resampled is None else f" ({resampled:.2f})")


if __name__ == "__main__":
    main()
