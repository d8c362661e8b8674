"""Images whose label may be wrong, by confident learning.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels"
(doi:10.1613/jair.1.12125): the threshold of a class is the mean probability of the class over the images that are
labelled so. An image whose probability of another class reaches that class's threshold, and exceeds that of every
other class that does, is off the diagonal of the confident joint; among these, a low self-confidence (probability
of the given label) comes first. The probabilities must be held out: a model remembers the wrong labels it was trained
on. The thresholds are of each class, so the class shares that the probabilities stand for matter little.

A suspect is a reason to look at an image again, not a finding: rare forms of a class look like this, too.
"""

import numpy as np
import pandas as pd
from pydantic import Field

from lesion_core.errors import DataError
from lesion_core.evaluation.report import PROBABILITY_COLUMNS
from lesion_core.labels import CLASS_ORDER, N_CLASSES, Diagnosis
from lesion_core.statistics.estimates import Estimate, wilson_interval
from lesion_core.types import IsicId, Value

MIN_GROUPS_OF_A_THRESHOLD = 10  # of a class: below, its mean confidence says too little, and it is not suggested


class LabelSuspect(Value):
    """An image whose label is doubtful."""

    isic_id: IsicId
    group: str
    given: Diagnosis
    suggested: Diagnosis
    p_given: float = Field(ge=0, le=1, description="Self-confidence: the probability of the given label")
    p_suggested: float = Field(ge=0, le=1)
    fold: int | None = Field(default=None, description="Whose model answered, in a cross-validation")
    n_of_group: int = Field(ge=1, description="Images of the same group and label")
    n_suspect_of_group: int = Field(ge=1, description="Of these, with the same suggestion: a lesion has one label")

    def in_words(self) -> str:
        """Return 'labelled NV (0.02), looks like MEL (0.91); 2 of 2 images of its group'."""
        return (
            f"labelled {self.given} ({self.p_given:.2f}), looks like {self.suggested} ({self.p_suggested:.2f}); "
            f"{self.n_suspect_of_group} of {self.n_of_group} images of its group"
        )


class LabelNoise(Value):
    """What confident learning finds in held-out predictions."""

    suspects: tuple[LabelSuspect, ...] = Field(description="Lowest self-confidence first")
    n_images: int = Field(ge=1)
    n_groups: int = Field(ge=1)
    share: Estimate = Field(description="Share of groups with a suspect; Wilson, groups as trials")
    left_out: tuple[Diagnosis, ...] = Field(
        description="Classes that are never suggested (of folds: in one of them), as they have too few groups"
    )

    def in_words(self) -> str:
        """Say how many labels are doubtful, in one sentence."""
        n_groups = len({one.group for one in self.suspects})
        of_groups = f"{n_groups} of {self.n_groups} groups"
        text = f"{len(self.suspects)} of {self.n_images} images ({of_groups}) have a doubtful label"
        few = f"; too few groups to tell of {', '.join(self.left_out)}" if self.left_out else ""
        return f"{text}{few}."


def find_label_suspects(predictions: pd.DataFrame) -> LabelNoise:
    """Return the images whose given label is doubtful.

    Args:
        predictions: Held-out predictions as ``predictions.table_of_predictions`` makes them. Pooled ones of a
            cross-validation have besides ``fold`` (int): thresholds are then of each fold, because another model
            has another confidence.

    Raises:
        DataError: There are no predictions, or one is not a probability.
    """
    probs = predictions[list(PROBABILITY_COLUMNS)].to_numpy(np.float64)
    if not len(probs) or not np.isfinite(probs).all():
        raise DataError(f"expected held-out probabilities of at least one image, got {len(probs)} or NaN among them")
    given = predictions["class_index"].to_numpy(np.int64)
    groups = predictions["group"].to_numpy(dtype=str)
    folds = predictions["fold"].to_numpy(np.int64) if "fold" in predictions else np.full(len(given), -1)
    suggested, left_out = np.full(len(given), -1), np.zeros(N_CLASSES, bool)
    for fold in np.unique(folds):
        inside = folds == fold
        limits = class_thresholds(given[inside], probs[inside], groups[inside])
        left_out |= np.isinf(limits)
        suggested[inside] = _suggest(given[inside], probs[inside], limits)
    n_groups, n_suspect = len(np.unique(groups)), len(np.unique(groups[suggested >= 0]))
    low, high = wilson_interval(n_suspect / n_groups, n_groups)
    return LabelNoise(
        suspects=_suspects(predictions, suggested, folds),
        n_images=len(given),
        n_groups=n_groups,
        share=Estimate(value=n_suspect / n_groups, low=low, high=high, method="Wilson"),
        left_out=tuple(name for place, name in enumerate(CLASS_ORDER) if left_out[place]),
    )


def class_thresholds(given: np.ndarray, probs: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the threshold of each class, float64 (k,); infinite where the class has too few groups.

    Args:
        given: int (n,), labels, 0-based.
        probs: float (n, k).
        groups: str (n,).
    """
    limits = np.full(N_CLASSES, np.inf)
    for place in range(N_CLASSES):
        own = given == place
        if len(np.unique(groups[own])) >= MIN_GROUPS_OF_A_THRESHOLD:
            limits[place] = probs[own, place].mean()
    return limits


def _suggest(given: np.ndarray, probs: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return the class that each image is confidently counted for, int (n,), -1 where that is its label, or none."""
    confident = np.where(probs >= limits, probs, -1.0)
    best = confident.argmax(axis=1)
    is_off = (confident.max(axis=1) >= 0) & (best != given) & (best == probs.argmax(axis=1))
    return np.where(is_off, best, -1)


def _suspects(predictions: pd.DataFrame, suggested: np.ndarray, folds: np.ndarray) -> tuple[LabelSuspect, ...]:
    table = predictions.assign(suggested=suggested, of_fold=folds)
    reason = ["group", "class_index"]
    n_of_group = table.groupby(reason)["isic_id"].transform("size")
    n_suspect = (table["suggested"] >= 0).groupby([table[name] for name in [*reason, "suggested"]]).transform("sum")
    off = table["suggested"] >= 0
    probs = table[list(PROBABILITY_COLUMNS)].to_numpy(np.float64)
    found = [
        LabelSuspect(
            isic_id=row["isic_id"],
            group=row["group"],
            given=CLASS_ORDER[row["class_index"]],
            suggested=CLASS_ORDER[row["suggested"]],
            p_given=min(probs[place, row["class_index"]], 1.0),
            p_suggested=min(probs[place, row["suggested"]], 1.0),
            fold=None if row["of_fold"] < 0 else int(row["of_fold"]),
            n_of_group=int(n_of_group.iloc[place]),
            n_suspect_of_group=int(n_suspect.iloc[place]),
        )
        for place, row in ((place, table.iloc[place]) for place in np.flatnonzero(off))
    ]
    return tuple(sorted(found, key=lambda one: (one.p_given, one.isic_id)))
