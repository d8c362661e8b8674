"""How much of the diagnosis is told by facts that say nothing about the lesion.

Clinics differ in their cameras, their patients and in what they write down, so an image's size, its source, or what
is missing may tell its class. A network that finds such a shortcut looks good on images of the same sources and
fails elsewhere (Geirhos et al. 2020, doi:10.1038/s42256-020-00257-z; on dermoscopy Bissoto et al. 2019,
arXiv:1904.08818).

For each fact: the class that the value speaks for most, all classes being equally likely, learnt from the train
split and scored on validation and calibration together. The test split is not used.
"""

import numpy as np
import pandas as pd
from pydantic import Field

from lesion_core.dataset.records import OpenDataset
from lesion_core.evaluation.estimates import Estimate
from lesion_core.evaluation.intervals import measure
from lesion_core.labels import N_CLASSES
from lesion_core.types import Value

LEARNT_ON = ("train",)
SCORED_ON = ("validation", "calibration")
N_BOOTSTRAP = 400
IMAGE_SIZE = "image size"
SOURCE = "source"
MISSING = "missing age, sex or site"
CONFIRMATION = "how it was confirmed"


class Shortcut(Value):
    """What one fact alone tells of the class."""

    fact: str = Field(description="'image size', 'source' …")
    n_values: int = Field(ge=1, description="Different values among the images it was learnt from")
    n_images: int = Field(ge=1, description="Images it was scored on")
    chance: float = Field(ge=0, le=1, description="1 / number of classes among them")
    balanced_accuracy: Estimate

    @property
    def is_telling(self) -> bool:
        """Whether the lower end of the interval lies above chance."""
        return self.balanced_accuracy.low is not None and self.balanced_accuracy.low > self.chance


def find_shortcuts(dataset: OpenDataset, manifest: pd.DataFrame, *, seed: int) -> tuple[Shortcut, ...]:
    """Measure each fact; nothing where there is too little to learn from or to score on.

    Args:
        dataset: Gives splits and groups.
        manifest: The dataset's manifest, one row per image.
        seed: Of the intervals, which resample whole groups.
    """
    rows = dataset.rows.set_index("isic_id").loc[manifest["isic_id"]].reset_index()
    learnt, scored = (rows["split"].isin(names).to_numpy() for names in (LEARNT_ON, SCORED_ON))
    # A class that was never seen cannot be told: it would count against every fact alike.
    scored = scored & rows["class_index"].isin(rows.loc[learnt, "class_index"].unique()).to_numpy()
    if rows.loc[scored, "class_index"].nunique() < 2:
        return ()
    return tuple(_measure(fact, values, rows, learnt, scored, seed) for fact, values in _facts(manifest).items())


def _facts(manifest: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        IMAGE_SIZE: manifest["width"].astype(str) + " × " + manifest["height"].astype(str),
        SOURCE: manifest["attribution"],
        MISSING: manifest[["age_years", "sex", "site"]].isna().apply(tuple, axis=1).astype(str),
        CONFIRMATION: manifest["confirm_type"].fillna(""),
    }


def _measure(
    fact: str, values: pd.Series, rows: pd.DataFrame, learnt: np.ndarray, scored: np.ndarray, seed: int
) -> Shortcut:
    codes, names = pd.factorize(values, use_na_sentinel=False)
    classes = rows["class_index"].to_numpy(np.int64)
    likelihood = _likelihood(codes[learnt], classes[learnt], len(names))
    true = classes[scored]
    resampled = measure(
        true, likelihood[codes[scored]], rows["group"].to_numpy(str)[scored], n_bootstrap=N_BOOTSTRAP, seed=seed
    )
    return Shortcut(
        fact=fact,
        n_values=len(np.unique(codes[learnt])),
        n_images=len(true),
        chance=1 / len(np.unique(true)),
        balanced_accuracy=resampled.estimate("balanced_accuracy"),
    )


def _likelihood(codes: np.ndarray, classes: np.ndarray, n_values: int) -> np.ndarray:
    """Return P(class | value) under equally likely classes, float (n_values, 8), rows sum to one.

    A value that was not seen speaks for the classes that were, each alike.
    """
    counts = np.zeros((n_values, N_CLASSES))
    np.add.at(counts, (codes, classes), 1)
    n_seen = counts.sum(axis=0)
    likelihood = counts / np.maximum(n_seen, 1)
    likelihood[counts.sum(axis=1) == 0] = n_seen > 0
    return likelihood / likelihood.sum(axis=1, keepdims=True)
