"""How far a model's answers move when an image changes in ways that say nothing of the diagnosis.

The same images are predicted unchanged and under each perturbation at each severity (``perturbations``). Changes are
paired, with intervals over groups. Prediction is what it costs, so that at most ``MAX_IMAGES`` images are changed:
whole groups, the classes in turn, so that each has about as many groups as there are. Shares and means are therefore
of a set in which rare classes weigh more than in the split.
"""

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesion_core.errors import DataError
from lesion_core.evaluation.analysis.perturbations import PERTURBATIONS, perturb
from lesion_core.evaluation.analysis.results import Stress, StressRow
from lesion_core.evaluation.analysis.variants import Metadata, Pixels, Predict, predict_variants
from lesion_core.evaluation.measurement import Scored
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.progress import ProgressCallback, ignore_progress
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.intervals import group_codes, strata_of
from lesion_core.statistics.measures import is_malignant
from lesion_core.statistics.metrics import MALIGNANT_INDICES
from lesion_core.statistics.paired import paired_difference

MAX_IMAGES = 400
_Step = tuple[str, int]  # perturbation and severity


def measure_stress(
    scored: Scored,
    rows: pd.DataFrame,
    *,
    predict: Predict,
    pixels: Pixels,
    max_images: int = MAX_IMAGES,
    n_bootstrap: int = 1000,
    seed: int = 7,
    on_progress: ProgressCallback = ignore_progress,
) -> Stress:
    """Predict images under every perturbation and compare with what was predicted without.

    Args:
        scored: Truth, probabilities of the unchanged images, and groups of ``rows``.
        rows: Rows of the dataset's splits table, in the order of ``scored``.
        predict: The model: pixels and metadata to probabilities.
        pixels: Rows to pixels as the model is shown them.
        max_images: At most so many are changed.
        n_bootstrap: Resamples.
        seed: Same seed, same images and intervals.
        on_progress: Hears of each batch, stage 'stress'.

    Raises:
        DataError: As many rows as images were expected, no group is small enough, or the model answers something else
            than probabilities.
    """
    if len(rows) != len(scored.class_index):
        raise DataError(f"expected the rows of {len(scored.class_index)} scored images, got {len(rows)}")
    chosen = choose_images(scored.class_index, scored.groups, max_images=max_images, seed=seed)
    if not len(chosen):
        raise DataError(f"expected a group of at most {max_images} images to change, found none; allow more images")
    steps = [(one.name, place + 1) for one in PERTURBATIONS.values() for place in range(len(one.amounts))]
    answers = predict_variants(
        rows.iloc[chosen],
        {_title(step): functools.partial(_changed, step) for step in steps},
        predict=predict,
        pixels=pixels,
        stage="stress",
        on_progress=on_progress,
    )
    true, groups = scored.class_index[chosen], scored.groups[chosen]
    counts = np.bincount(true, minlength=N_CLASSES)
    clean = Scored(true, scored.probs[chosen], groups)
    return Stress(
        n_images=len(chosen),
        n_images_of=len(rows),
        n_groups=len(np.unique(groups)),
        images_by_class={str(name): int(count) for name, count in zip(CLASS_ORDER, counts, strict=True) if count},
        seed=seed,
        rows_by_change=tuple(
            _row(clean, step, answers[_title(step)], n_bootstrap=n_bootstrap, seed=seed) for step in steps
        ),
    )


def choose_images(class_index: np.ndarray, groups: np.ndarray, *, max_images: int, seed: int) -> np.ndarray:
    """Return positions of at most ``max_images`` images, sorted: whole groups, one of each class in turn.

    A group counts for its rarest class; within a class the order is drawn by the seed, and a group that is too large
    for what is left is passed over.

    Args:
        class_index: int (n,), 0-based.
        groups: (n,).
        max_images: At most so many.
        seed: Same seed, same images, in whatever order they are given within their groups.
    """
    codes = group_codes(groups)
    sizes, strata = np.bincount(codes), strata_of(np.asarray(class_index, np.int64), codes)
    random = np.random.default_rng(seed)
    order = random.permutation(len(sizes))
    turn = np.empty(len(sizes), np.int64)
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        turn[members] = np.arange(len(members))
    taken, left = np.zeros(len(sizes), bool), max_images
    for group in np.lexsort((strata, turn)):
        if sizes[group] <= left:
            taken[group] = True
            left -= int(sizes[group])
    return np.flatnonzero(taken[codes])


def _title(step: _Step) -> str:
    return f"{step[0]}, severity {step[1]}"


def _changed(step: _Step, images: np.ndarray, metadata: Metadata, ids: Sequence[str]) -> tuple[np.ndarray, Metadata]:
    return perturb(images, ids, *step), metadata


def _row(clean: Scored, step: _Step, probs: np.ndarray, *, n_bootstrap: int, seed: int) -> StressRow:
    before, after = clean.probs.argmax(axis=1), probs.argmax(axis=1)
    paired = paired_difference(clean.class_index, after, before, clean.groups, n_bootstrap=n_bootstrap, seed=seed)
    means = GroupMeans(clean.class_index, clean.groups, n_bootstrap, seed)
    moves = _moves(np.asarray(clean.probs, np.float64), probs, before, after)
    found = {name: (means.share if one.dtype == bool else means.mean)(one) for name, one in moves.items()}
    name, severity = step
    return StressRow(
        perturbation=name,
        severity=severity,
        amount=PERTURBATIONS[name].in_words(severity),
        balanced_accuracy=paired.balanced_accuracy,
        malignant_sensitivity=paired.malignant_sensitivity,
        **found,
    )


def _moves(clean: np.ndarray, probs: np.ndarray, before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    """Return what changed of each image, (n,) by the field of ``StressRow``."""
    place, malignant = np.arange(len(before)), list(MALIGNANT_INDICES)
    return {
        "malignant_change": np.abs((probs - clean)[:, malignant].sum(axis=1)),
        "leading_change": np.abs(probs - clean)[place, before],
        "flips": before != after,
        "malignant_flips": is_malignant(before) != is_malignant(after),
    }
