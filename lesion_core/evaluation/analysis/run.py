"""All analyses of one model on one split."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.analysis.decisions import measure_decisions
from lesion_core.evaluation.analysis.instability import N_VIEWS, Instability, measure_instability, predict_views
from lesion_core.evaluation.analysis.missing_metadata import measure_missing_metadata
from lesion_core.evaluation.analysis.out_of_distribution import FalseAlarms, measure_out_of_distribution
from lesion_core.evaluation.analysis.prediction_sets import measure_sets
from lesion_core.evaluation.analysis.results import MissingMetadata
from lesion_core.evaluation.analysis.sanity import compare_intervals, find_mistakes
from lesion_core.evaluation.analysis.stress import choose_images, measure_stress
from lesion_core.evaluation.analysis.subgroups import measure_subgroups
from lesion_core.evaluation.analysis.variants import Metadata, Pixels, Predict
from lesion_core.evaluation.cases.run import CaseAnalysis
from lesion_core.evaluation.effort import at_most
from lesion_core.evaluation.pools import with_pooled_answers
from lesion_core.evaluation.scored import Scored
from lesion_core.fields.columns import metadata_inputs
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.serving.model_folder import ModelFolder
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.measures import is_malignant
from lesion_core.statistics.selective import RiskCoverage, risk_coverage

MOST_CHANGED, LEAST_CHANGED = 400, 60  # images that are predicted again and again
MOST_WITHOUT_METADATA, LEAST_WITHOUT_METADATA = 4000, 250  # … and a few times
_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Material:
    """What is analysed.

    Attributes:
        folder: The model's.
        predict: Pixels uint8 (n, s, s, 3) and metadata to probabilities (n, k), as served.
        pixels: Rows to pixels.
        rows: Of the split.
        subgroups: One text column per field, in the order of ``rows`` (``subgroups.subgroup_columns``).
        scored: What was answered about ``rows``.
        ood_scores: float32 (n,) of ``rows``; ``None``: the model gives none.
        n_bootstrap: Resamples.
        seed: Same seed, same intervals and images.
    """

    folder: ModelFolder
    predict: Predict
    pixels: Pixels
    rows: pd.DataFrame
    subgroups: pd.DataFrame
    scored: Scored
    ood_scores: np.ndarray | None
    n_bootstrap: int
    seed: int

    @property
    def most_changed(self) -> int:
        """How many images are changed or turned."""
        return at_most(self.folder, MOST_CHANGED, least=LEAST_CHANGED)

    def answer(self, pixels: np.ndarray, metadata: Metadata) -> np.ndarray:
        """Return what is predicted again, with pools filed as in ``scored``, which it is held against."""
        return with_pooled_answers(self.predict(pixels, metadata), self.scored.pools)

    def part(self, most: int) -> tuple[Scored, pd.DataFrame]:
        """Return at most so many images: all of them, or whole groups, the classes in turn."""
        scored = self.scored
        if len(self.rows) <= most:
            return scored, self.rows
        chosen = choose_images(scored.class_index, scored.groups, max_images=most, seed=self.seed)
        prior = scored.class_prior[chosen] if scored.class_prior.ndim == 2 else scored.class_prior
        part = Scored(scored.class_index[chosen], scored.probs[chosen], scored.groups[chosen], prior, scored.pools)
        return part, self.rows.iloc[chosen]


def analyse(material: Material, of_cases: CaseAnalysis, on_progress: ProgressCallback = ignore_progress) -> Analyses:
    """Run every analysis.

    Args:
        material: What is analysed.
        of_cases: What was found in its single images.
        on_progress: Gets the stages 'subgroups', 'missing metadata', 'stress' and 'turned views'.
    """
    scored, folder = material.scored, material.folder
    true, probs = scored.class_index, scored.probs
    asked: dict[str, Any] = {"n_bootstrap": material.n_bootstrap, "seed": material.seed}
    again: dict[str, Any] = {"predict": material.answer, "pixels": material.pixels, "on_progress": on_progress}
    means = GroupMeans(true, scored.groups, **asked)
    # Thresholds are of single classes: they say nothing of images whose label stands for several.
    points, sets = (None, None) if scored.pools else (folder.operating_points, folder.conformal)
    return Analyses(
        decisions=None if points is None else measure_decisions(points, true, probs, means),
        sets=None if sets is None else measure_sets(sets, true, probs, means),
        selective=_selective(true, probs),
        subgroups=measure_subgroups(scored, material.subgroups, on_progress=on_progress, **asked),
        missing_metadata=None
        if folder.recipe.get("fusion") == "none"
        else _missing_metadata(material, again | asked),
        stress=measure_stress(scored, material.rows, max_images=material.most_changed, **again, **asked),
        instability=_instability(material, on_progress),
        intervals=compare_intervals(true, probs, scored.groups, **asked),
        findings=find_mistakes(true, probs),
        out_of_distribution=_false_alarms(material),
        clusters=of_cases.clusters,
        label_noise=of_cases.label_noise,
        explanations=of_cases.explanations,
    )


def _missing_metadata(material: Material, asked: dict[str, Any]) -> MissingMetadata:
    most = at_most(material.folder, MOST_WITHOUT_METADATA, least=LEAST_WITHOUT_METADATA)
    scored, rows = material.part(most)
    return measure_missing_metadata(scored, rows, **asked)


def _false_alarms(material: Material) -> FalseAlarms | None:
    stated = material.folder.out_of_distribution
    if stated is None or material.ood_scores is None:
        return None
    asked: dict[str, Any] = {"n_bootstrap": material.n_bootstrap, "seed": material.seed}
    return measure_out_of_distribution(material.ood_scores, material.scored.groups, stated.threshold, **asked)


def _selective(true: np.ndarray, probs: np.ndarray) -> RiskCoverage:
    leading, malignant = probs.argmax(axis=1), is_malignant(true)
    return risk_coverage(probs.max(axis=1), leading != true, malignant, malignant & ~is_malignant(leading))


def _instability(material: Material, on_progress: ProgressCallback) -> Instability:
    scored, at_most = material.scored, material.most_changed
    chosen = choose_images(scored.class_index, scored.groups, max_images=at_most, seed=material.seed)
    rows, tally, parts = material.rows.iloc[chosen], Tally(on_progress, "turned views", len(chosen)), []
    for start in range(0, len(rows), _AT_A_TIME):
        part = rows.iloc[start : start + _AT_A_TIME]
        parts.append(predict_views(material.answer, material.pixels(part), metadata_inputs(part)))
        tally.add(len(part), f"each in {N_VIEWS} views")
    true, groups = scored.class_index[chosen], scored.groups[chosen]
    means = GroupMeans(true, groups, n_bootstrap=material.n_bootstrap, seed=material.seed)
    return measure_instability(np.concatenate(parts, axis=1), true, means, n_of=len(scored.class_index))
