"""How long the intervals of a report take, beside resampling image by image with scikit-learn.

::

    python -m benchmarks.intervals [--images 25000] [--bootstrap 2000] [--peer 4] [--rounds 3]

The predictions are made up: the shares of the classes are those of ISIC 2019's training set, groups have one to five
images. The peer draws the same groups, collects their images and asks scikit-learn for every number. That takes so
long that it is done for a few resamples only (``--peer``), and its time for all of them is extrapolated.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
from sklearn import metrics as peer

from benchmarks.measure import Comparison, compare, peak_memory_mb, write_result
from lesion_core.evaluation.measurement import Scored, estimate_all
from lesion_core.labels import N_CLASSES
from lesion_core.statistics.calibration import apply_temperature
from lesion_core.statistics.intervals import group_codes, strata_of
from lesion_core.statistics.metrics import MELANOMA_INDEX, SUMS, summed_probability
from lesion_core.statistics.ranking import PARTIAL_AUC_SENSITIVITY, SENSITIVITIES, SPECIFICITIES

_CLASS_COUNTS = np.array([4522, 12875, 3323, 867, 2624, 239, 253, 628])  # of ISIC 2019's training set, in CLASS_ORDER
_SIZES, _SHARES = (1, 2, 3, 5), (0.65, 0.2, 0.1, 0.05)  # images of a group
_SKILL = 1.8
_SEED = 7


def make_predictions(n: int) -> Scored:
    """Return so many predictions of a model of some skill, float32."""
    random = np.random.default_rng(_SEED)
    groups = np.repeat(np.arange(n), random.choice(_SIZES, n, p=_SHARES))[:n]
    true = random.choice(N_CLASSES, n, p=_CLASS_COUNTS / _CLASS_COUNTS.sum())[groups]
    logits = random.normal(size=(n, N_CLASSES))
    logits[np.arange(n), true] += _SKILL
    return Scored(true, apply_temperature(logits, 1.0), np.array([f"g{group:06d}" for group in groups]))


def resample_with_scikit_learn(scored: Scored, n_bootstrap: int) -> list[list[float]]:
    """Return the numbers of each resample, drawn by groups within classes."""
    random, codes = np.random.default_rng(_SEED), group_codes(scored.groups)
    images = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    strata = strata_of(scored.class_index, codes)
    drawn = []
    for _ in range(n_bootstrap):
        chosen = np.concatenate([random.choice(members, max(1, len(members) - 1)) for members in _members(strata)])
        rows = np.concatenate([images[group] for group in chosen])
        drawn.append(_numbers(scored.class_index[rows], scored.probs[rows], scored.calibrated[rows]))
    return drawn


def _members(strata: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]


def _numbers(true: np.ndarray, probs: np.ndarray, calibrated: np.ndarray) -> list[float]:
    """Return what a report has, by scikit-learn's functions."""
    predicted, labels = probs.argmax(axis=1), list(range(N_CLASSES))
    confusion = peer.confusion_matrix(true, predicted, labels=labels)
    rates = peer.precision_recall_fscore_support(true, predicted, labels=labels, zero_division=np.nan)
    numbers = [*confusion.ravel(), *np.concatenate(rates[:3])]
    numbers += [
        peer.balanced_accuracy_score(true, predicted),
        peer.accuracy_score(true, predicted),
        peer.brier_score_loss(true, calibrated, labels=labels, scale_by_half=False),
        peer.log_loss(true, calibrated, labels=labels),
    ]
    for place in labels:
        numbers += _areas(true == place, probs[:, place])
    for members in SUMS.values():
        truth, scores = np.isin(true, members), summed_probability(probs, members)
        numbers += [*_areas(truth, scores), *peer.confusion_matrix(truth, scores >= 0.5).ravel()]
        numbers += _rates_at(truth, scores)
    return [*numbers, *_rates_at(true == MELANOMA_INDEX, probs[:, MELANOMA_INDEX])]


def _areas(truth: np.ndarray, scores: np.ndarray) -> list[float]:
    return [
        peer.roc_auc_score(truth, scores),
        peer.average_precision_score(truth, scores),
        peer.roc_auc_score(~truth, -scores, max_fpr=1 - PARTIAL_AUC_SENSITIVITY),
    ]


def _rates_at(truth: np.ndarray, scores: np.ndarray) -> list[float]:
    alarms, found, _ = peer.roc_curve(truth, scores)
    at = [found[1 - alarms >= level].max() for level in SPECIFICITIES]
    return at + [(1 - alarms)[found >= level].max() for level in SENSITIVITIES]


def main() -> None:
    """Measure both in turn and write ``docs/results/intervals.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--peer", type=int, default=4, help="resamples of the peer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    scored = make_predictions(options.images)
    before = peak_memory_mb()
    processor_seconds: list[float] = []

    def ours() -> float:
        start, used = time.perf_counter(), time.process_time()
        estimate_all(scored, n_bootstrap=options.bootstrap, seed=_SEED)
        processor_seconds.append(time.process_time() - used)
        return options.bootstrap / (time.perf_counter() - start)

    ours()
    memory = peak_memory_mb() - before
    found = compare(
        f"all numbers of {options.images:,} predictions with intervals",
        "scikit-learn, image by image",
        "resamples",
        ours=ours,
        theirs=lambda: _rate(scored, options.peer),
        rounds=options.rounds,
        warm_up=False,
    )
    row = {**found.row(), "memory_mb": memory, "processor_seconds": sorted(processor_seconds[1:])}
    command = (
        f"python -m benchmarks.intervals --images {options.images} --bootstrap {options.bootstrap} "
        f"--peer {options.peer} --rounds {options.rounds}"
    )
    n_groups = len(np.unique(scored.groups))
    result = {
        "intervals": row,
        "n_groups": n_groups,
        "table": _table(found, processor_seconds[1:], memory, n_groups, options),
    }
    print(write_result("intervals", command, result))


def _rate(scored: Scored, n: int) -> float:
    start = time.perf_counter()
    resample_with_scikit_learn(scored, n)
    return n / (time.perf_counter() - start)


def _table(
    found: Comparison, processor_seconds: list[float], memory: float, n_groups: int, options: argparse.Namespace
) -> dict[str, Any]:
    row = found.row()
    return {
        "header": [
            "what",
            "seconds, median",
            "processor seconds",
            f"scikit-learn's, extrapolated from {options.peer} resamples",
            "ratio, median (range)",
            "memory beyond the predictions",
        ],
        "rows": [
            [
                f"{options.bootstrap:,} resamples of {options.images:,} predictions in {n_groups:,} groups",
                f"{options.bootstrap / row['ours_median']:,.1f}",
                f"{statistics.median(processor_seconds):,.1f}",
                f"{options.bootstrap / row['theirs_median']:,.0f}",
                f"{row['ratio_median']:.0f} ({row['ratio_min']:.0f} to {row['ratio_max']:.0f})",
                f"{memory:,.0f} MB",
            ]
        ],
    }


if __name__ == "__main__":
    main()
