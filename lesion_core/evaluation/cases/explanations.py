"""Checks of a model's explanations on at most 64 images of a split: can its maps be believed, and its metadata?"""

from collections import defaultdict

import numpy as np
import pandas as pd
from pydantic import Field

from lesion_core.dataset.model_images import ModelImages
from lesion_core.evaluation.cases.curves import CurveCheck, check_curves
from lesion_core.evaluation.cases.explained import MOST_IMAGES, Explained, choose_rows, explain_rows
from lesion_core.evaluation.cases.focus import FocusCheck, check_focus
from lesion_core.evaluation.cases.weights import WeightsCheck, check_weights
from lesion_core.fields.table import FIELDS, in_words
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.serving.predictor import MapKind, Predictor
from lesion_core.serving.what_if import WhatIf, what_if
from lesion_core.types import Value


class Reliance(Value):
    """What leaving metadata unknown changes, over the images where the field is known."""

    fields: tuple[str, ...] = Field(description="Names of the fields that are left unknown")
    n_images: int = Field(ge=1)
    n_flips: int = Field(ge=0, description="Images whose leading class changes")
    n_malignancy_flips: int = Field(ge=0, description="Of these, between malignant and not malignant")
    mean_change: float = Field(ge=0, description="Mean absolute change of the leading class's probability")
    passed: None = Field(default=None, description="There is no limit: how much is right depends on the field")

    def in_words(self) -> str:
        """Say what was found."""
        names = in_words([field.noun for field in FIELDS if field.name in self.fields])
        return (
            f"With {names} unknown, the leading class changes in {self.n_flips} of {self.n_images} images "
            f"({self.n_malignancy_flips} between malignant and not malignant); its probability changes by "
            f"{self.mean_change:.2f} on average."
        )


class ExplanationChecks(Value):
    """What the checks found. ``passed`` of each is ``None`` where it cannot be told."""

    model_id: str
    map_kind: MapKind
    n_images: int = Field(ge=1)
    n_groups: int = Field(ge=1)
    curves: CurveCheck
    focus: FocusCheck
    weights: WeightsCheck | None = Field(description="None: no model with shuffled weights was given")
    reliance: tuple[Reliance, ...] = Field(description="Of each field, then of all together")

    @property
    def passed(self) -> bool | None:
        """Whether all checks of the maps passed; ``False`` where one failed, else ``None`` where one cannot tell."""
        verdicts = [self.curves.passed, self.focus.passed, None if self.weights is None else self.weights.passed]
        return False if False in verdicts else None if None in verdicts else True

    def in_words(self) -> tuple[str, ...]:
        """Return a sentence or two for each check."""
        weights = "Weights were not shuffled." if self.weights is None else self.weights.in_words()
        return (
            self.curves.in_words(),
            self.focus.in_words(),
            weights,
            *(one.in_words() for one in self.reliance),
        )


def check_explanations(
    predictor: Predictor,
    images: ModelImages,
    rows: pd.DataFrame,
    facts: pd.DataFrame,
    *,
    randomised: Predictor | None = None,
    most: int = MOST_IMAGES,
    n_bootstrap: int = 1000,
    seed: int = 7,
    on_progress: ProgressCallback = ignore_progress,
) -> ExplanationChecks:
    """Check a model's maps and what it makes of metadata, on one image of each of at most ``most`` groups.

    Args:
        predictor: The model.
        images: The dataset's images as this model sees them.
        rows: Of the evaluated split, at least one.
        facts: As ``facts.read_facts`` returns it.
        randomised: The same model with shuffled weights, from ``modeling.network.randomised``; ``None`` leaves that
            check out.
        most: Images in all; below 50 groups there are no intervals, and two of the checks cannot tell.
        n_bootstrap: Resamples of groups.
        seed: Of choice, random orders and resamples.
        on_progress: Hears of each check.

    Raises:
        DataError: There are no rows.
        InputRejected: The model gives no numbers for one of the images.
    """
    tally = Tally(on_progress, "explanations", 5)
    with tally.part("maps"):
        explained = explain_rows(predictor, images, choose_rows(rows, most=most, seed=seed), facts)
    with tally.part("deletion and insertion"):
        curves = check_curves(predictor, explained, n_bootstrap=n_bootstrap, seed=seed)
    with tally.part("evidence inside the lesion"):
        focus = check_focus(explained, n_bootstrap=n_bootstrap, seed=seed)
    with tally.part("shuffled weights"):
        weights = None
        if randomised is not None:
            weights = check_weights(randomised, explained, n_bootstrap=n_bootstrap, seed=seed)
    with tally.part("metadata left unknown"):
        reliance = measure_reliance(predictor, explained)
    return ExplanationChecks(
        model_id=predictor.model_id,
        map_kind=explained.map_kind,
        n_images=len(explained.pixels),
        n_groups=len(np.unique(explained.groups)),
        curves=curves,
        focus=focus,
        weights=weights,
        reliance=reliance,
    )


def measure_reliance(predictor: Predictor, explained: Explained) -> tuple[Reliance, ...]:
    """Return what leaving each field unknown changes, in the order of the fields, then all that an image has.

    Args:
        predictor: The model.
        explained: Images with their patients.
    """
    everything = tuple(field.name for field in FIELDS)
    found: dict[tuple[str, ...], list[WhatIf]] = defaultdict(list)
    for pixels, patient in zip(explained.pixels, explained.patients, strict=True):
        answers = what_if(predictor, pixels, patient)
        for one in answers:
            if len(one.fields) == 1:
                found[one.fields].append(one)
        if answers:
            found[everything].append(answers[-1])  # of an image with one known field, all is that field
    order = [*((name,) for name in everything), everything]
    return tuple(_summed(names, found[names]) for names in order if found.get(names))


def _summed(names: tuple[str, ...], answers: list[WhatIf]) -> Reliance:
    return Reliance(
        fields=names,
        n_images=len(answers),
        n_flips=sum(one.flips for one in answers),
        n_malignancy_flips=sum(one.flips_malignancy for one in answers),
        mean_change=float(np.mean([abs(one.change) for one in answers])),
    )
