"""All that is made of single images: cases and their gallery, doubtful labels, clusters of errors, explanations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.evaluation.cases.artefacts import flag_images
from lesion_core.evaluation.cases.cases import table_of_cases
from lesion_core.evaluation.cases.error_clusters import ErrorClusters, find_error_clusters
from lesion_core.evaluation.cases.explained import MOST_IMAGES
from lesion_core.evaluation.cases.explanations import ExplanationChecks, check_explanations
from lesion_core.evaluation.cases.facts import read_facts
from lesion_core.evaluation.cases.gallery import CaseGallery, GallerySources, build_gallery
from lesion_core.evaluation.cases.label_noise import LabelNoise, find_label_suspects
from lesion_core.evaluation.cases.neighbours import MOST_TRAINING_IMAGES, find_neighbours
from lesion_core.evaluation.effort import at_most
from lesion_core.evaluation.opened import Opened
from lesion_core.evaluation.report import PROBABILITY_COLUMNS
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.modeling.exported.randomised import write_randomised_folder
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.serving.predictor import Predictor
from lesion_core.statistics.guarantees.conformal import ConformalSets, conformal_sets

_SHARE_EXPLAINED = 4  # one image in so many, where that is fewer than the most
_LEAST_EXPLAINED, _LEAST_TRAINING = 8, 400


@dataclass(frozen=True, slots=True)
class CaseAnalysis:
    """What was found in single images.

    Attributes:
        cases: As ``table_of_cases`` makes it.
        gallery: The misclassified ones, as they are shown.
        clusters: What errors of the malignant decision have in common.
        label_noise: Images whose label is doubtful.
        explanations: Whether the maps depend on what they should.
    """

    cases: pd.DataFrame
    gallery: CaseGallery
    clusters: ErrorClusters
    label_noise: LabelNoise
    explanations: ExplanationChecks


def analyse_cases(
    opened: Opened,
    predictions: pd.DataFrame,
    embeddings: np.ndarray,
    scratch: Path,
    *,
    n_bootstrap: int,
    seed: int,
    on_progress: ProgressCallback,
) -> CaseAnalysis:
    """Look at every image.

    Args:
        opened: Model and images.
        predictions: As ``predictions.table_of_predictions`` makes it, of ``opened.rows``.
        embeddings: float32 (n, d), of ``opened.rows`` in their order.
        scratch: Where the model with shuffled weights is written.
        n_bootstrap: Resamples.
        seed: Same seed, same images and intervals.
        on_progress: Gets the stages 'nearest training images', 'artefacts', 'gallery' and 'explanations'.

    Raises:
        ArtifactNotFound: An image is no longer in the archive.
        ArtifactCorrupt: An image is not what the dataset was made from.
    """
    predictor, rows, facts = opened.predictor, opened.rows, read_facts(opened.dataset.folder)
    training = opened.dataset.split("train")
    neighbours = (
        find_neighbours(
            predictor,
            opened.images,
            rows,
            training,
            facts,
            vectors=embeddings,
            most=at_most(predictor.folder, MOST_TRAINING_IMAGES, least=_LEAST_TRAINING),
            seed=seed,
            on_progress=on_progress,
        )
        if len(training)
        else None
    )
    sets = None if predictor.folder.conformal is None else _sets(predictor.folder.conformal, predictions)
    cases = table_of_cases(predictions, facts, sets=sets, neighbours=neighbours)
    ids = predictions["isic_id"].tolist()
    size_px = predictor.preprocessing.size_px
    artefacts = flag_images(opened.store, facts, ids, size_px=size_px, on_progress=on_progress)
    with Tally(on_progress, "gallery", 1).part("misclassified images"):
        known = pd.concat([rows, training], ignore_index=True)
        sources = GallerySources(opened.images, known, facts, predictor, neighbours or {})
        gallery = build_gallery(cases, sources)
    return CaseAnalysis(
        cases=cases,
        gallery=gallery,
        clusters=find_error_clusters(predictions, facts, artefacts),
        label_noise=find_label_suspects(predictions),
        explanations=check_explanations(
            predictor,
            opened.images,
            rows,
            facts,
            randomised=_randomised(opened, scratch),
            most=min(
                at_most(predictor.folder, MOST_IMAGES, least=_LEAST_EXPLAINED),
                max(_LEAST_EXPLAINED, len(rows) // _SHARE_EXPLAINED),
            ),
            n_bootstrap=n_bootstrap,
            seed=seed,
            on_progress=on_progress,
        ),
    )


def _sets(conformal: ConformalSets, predictions: pd.DataFrame) -> dict[str, tuple[Diagnosis, ...]]:
    inside = conformal_sets(predictions[list(PROBABILITY_COLUMNS)].to_numpy(), conformal.level())
    return {
        isic_id: tuple(name for name, is_in in zip(CLASS_ORDER, row, strict=True) if is_in)
        for isic_id, row in zip(predictions["isic_id"].tolist(), inside, strict=True)
    }


def _randomised(opened: Opened, scratch: Path) -> Predictor:
    folder = write_randomised_folder(opened.folder, scratch)
    return Predictor.load(folder, model_id=opened.predictor.model_id)
