"""Predictions of several recipes on the same folds, laid side by side and resampled together.

A recipe's score is the mean of its folds' balanced accuracies; several seeds of a fold count alike, which is the same
as adding up their confusion matrices. Each fold's groups are resampled by themselves, with the same draw for every
recipe, so the interval of a difference leaves out what is hard for both. It tells how sure the score is over other
patients; what another seed would do shows in the spread over the runs only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lesion_core.errors import DataError
from lesion_core.evaluation.measurement import Scored
from lesion_core.evaluation.report import PROBABILITY_COLUMNS
from lesion_core.labels import N_CLASSES
from lesion_core.statistics.estimates import Estimate, known, percentile_interval, simultaneous_estimates
from lesion_core.statistics.intervals import draw_groups, group_codes, strata_of
from lesion_core.statistics.metrics import balanced_accuracy_of

_IMAGE = ["isic_id", "group", "class_index"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What every recipe said of one fold's images.

    Attributes:
        images: isic_id, group and class_index (n rows).
        probs: By recipe, one float (n, k) for each seed.
        class_priors: By recipe, of each seed, float (k,): the class shares that its probabilities stand for.
    """

    images: pd.DataFrame
    probs: dict[str, list[np.ndarray]] = field(default_factory=dict)
    class_priors: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def scored(self, recipe: str) -> list[Scored]:
        """Return one recipe's answers, seed by seed."""
        true, groups = self.images["class_index"].to_numpy(np.int64), self.images["group"].to_numpy(str)
        answers = zip(self.probs[recipe], self.class_priors[recipe], strict=True)
        return [Scored(true, probs, groups, prior) for probs, prior in answers]


Fold = int | None
Folds = dict[Fold, Answers]


def gather(predictions: Iterable[tuple[str, Fold, pd.DataFrame, np.ndarray]]) -> Folds:
    """Lay predictions side by side: (recipe, fold, table as ``report.read_predictions`` returns it, class prior).

    Raises:
        DataError: Two tables of one fold are not of the same images.
    """
    folds: Folds = {}
    for recipe, fold, table, prior in predictions:
        images = table[_IMAGE].reset_index(drop=True)
        answers = folds.setdefault(fold, Answers(images))
        if not images.equals(answers.images):
            common = len(set(images["isic_id"]) & set(answers.images["isic_id"]))
            raise DataError(
                f"expected the same images for every recipe{'' if fold is None else f' in fold {fold}'}, got "
                f"{len(images):,} for {recipe!r} and {len(answers.images):,} for {', '.join(answers.probs)}, "
                f"{common:,} in common; compare on datasets of one name that were made from the same snapshot"
            )
        answers.probs.setdefault(recipe, []).append(table[list(PROBABILITY_COLUMNS)].to_numpy(np.float64))
        answers.class_priors.setdefault(recipe, []).append(prior)
    return folds


def pooled(folds: Folds, recipe: str) -> Scored:
    """Return all of a recipe's answers, fold by fold and seed by seed; no group stands in two folds.

    An image stands in it once for each seed: see ``images_of``.
    """
    parts = [scored for answers in folds.values() if recipe in answers.probs for scored in answers.scored(recipe)]
    return Scored(
        np.concatenate([part.class_index for part in parts]),
        np.concatenate([part.probs for part in parts]),
        np.concatenate([part.groups for part in parts]),
        np.concatenate([np.broadcast_to(part.class_prior, part.probs.shape) for part in parts]),
    )


def images_of(folds: Folds, recipe: str) -> pd.DataFrame:
    """Return isic_id, group and class_index of the images in a recipe's folds, each image once."""
    return pd.concat([answers.images for answers in folds.values() if recipe in answers.probs], ignore_index=True)


@dataclass(frozen=True, slots=True)
class Scores:
    """A recipe's balanced accuracy in each fold: as measured, and of each resample (b,)."""

    measured: dict[Fold, float]
    draws: dict[Fold, np.ndarray]

    def mean(self) -> Estimate:
        """Return the mean over the folds, with its interval."""
        return _estimate(list(self.measured.values()), list(self.draws.values()))

    def minus(self, other: "Scores") -> tuple[float, np.ndarray] | None:
        """Return the mean difference over the folds that both have, as measured and of each resample (b,)."""
        common = [fold for fold in self.measured if fold in other.measured]
        if not common:
            return None
        draws = np.mean([self.draws[fold] - other.draws[fold] for fold in common], axis=0)
        return float(np.mean([self.measured[fold] - other.measured[fold] for fold in common])), draws


@dataclass(frozen=True, slots=True)
class Against:
    """A recipe against the reference, over the folds that both have.

    Attributes:
        difference: Mean difference; its interval and those of all other recipes hold together. Not known without a
            fold in common.
        share_better: Share of the resamples in which the recipe is better; ties count half.
    """

    difference: Estimate
    share_better: float | None


def compare_with(scores: Mapping[str, Scores], reference: str) -> dict[str, Against]:
    """Return every other recipe against one that was named before anything was measured.

    The intervals are simultaneous: of recipes that are all alike, any is found better or worse in at most one of
    twenty comparisons.
    """
    found = {name: each.minus(scores[reference]) for name, each in scores.items() if name != reference}
    measured = {name: each for name, each in found.items() if each is not None}
    draws = np.array([draws for _, draws in measured.values()])
    estimates = simultaneous_estimates([value for value, _ in measured.values()], draws) if measured else ()
    against = {
        name: Against(estimate, float(np.mean((mean > 0) + 0.5 * (mean == 0))))
        for (name, (_, mean)), estimate in zip(measured.items(), estimates, strict=True)
    }
    return {name: against.get(name, Against(Estimate(value=None), None)) for name in found}


def score_folds(folds: Folds, *, n_bootstrap: int, seed: int) -> dict[str, Scores]:
    """Measure and resample every recipe's balanced accuracy in every fold.

    Args:
        folds: The answers.
        n_bootstrap: Resamples.
        seed: Same seed, same draws.
    """
    scores: dict[str, Scores] = {}
    for place, (fold, answers) in enumerate(folds.items()):
        codes = group_codes(answers.images["group"].to_numpy(str))
        strata = strata_of(answers.images["class_index"].to_numpy(np.int64), codes)
        sums = {recipe: _confusion_by_group(answers.scored(recipe), codes) for recipe in answers.probs}
        drawn: dict[str, list[np.ndarray]] = {recipe: [] for recipe in sums}
        for draw in draw_groups(strata, n_bootstrap, seed + place):
            for recipe, confusion in sums.items():
                drawn[recipe].append(_balanced_accuracy(draw @ confusion))
        for recipe, confusion in sums.items():
            ours = scores.setdefault(recipe, Scores({}, {}))
            ours.measured[fold] = float(_balanced_accuracy(confusion.sum(axis=0, keepdims=True))[0])
            ours.draws[fold] = np.concatenate(drawn[recipe])
    return scores


def _confusion_by_group(seeds: Sequence[Scored], codes: np.ndarray) -> np.ndarray:
    """Return confusion counts of all seeds by group, float64 (g, k²)."""
    n_groups = int(codes.max()) + 1
    cells = [one.class_index * N_CLASSES + one.probs.argmax(axis=1) for one in seeds]
    counts = sum(np.bincount(codes * N_CLASSES**2 + cell, minlength=n_groups * N_CLASSES**2) for cell in cells)
    return np.asarray(counts, np.float64).reshape(n_groups, N_CLASSES**2)


def _balanced_accuracy(sums: np.ndarray) -> np.ndarray:
    return balanced_accuracy_of(sums.reshape(-1, N_CLASSES, N_CLASSES))


def _estimate(values: Sequence[float], draws: Sequence[np.ndarray]) -> Estimate:
    low, high = percentile_interval(np.mean(draws, axis=0))
    method = "none" if low is None else "group bootstrap"
    return Estimate(value=known(float(np.mean(values))), low=low, high=high, method=method)
