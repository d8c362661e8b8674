"""Model and images at hand, checked: what an evaluation begins with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.model_images import ModelImages
from lesion_core.dataset.proof.certificate import verify_certificate
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.evaluation.external import External, choose_unseen, is_external
from lesion_core.evaluation.predictions import check_not_calibrated_on, rows_to_evaluate, with_splits_of
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.test_access import AccessCounts, record_access
from lesion_core.progress import ProgressCallback
from lesion_core.serving.model_folder import stated_prior
from lesion_core.serving.predictor import Predictor
from lesion_core.stores.folders import materialise
from lesion_core.stores.protocol import Store


@dataclass(frozen=True, slots=True)
class Opened:
    """A model and the images it is measured on.

    Attributes:
        store: Where both came from.
        folder: The model's local folder.
        predictor: The model.
        class_prior: float64 (k,), class shares that its probabilities stand for.
        dataset: With the splits that are measured.
        rows: The images to measure.
        images: The dataset's images as the model sees them.
        looks: Who had been measured on this test split before; ``None``: it is none.
        external: The external test set that they are; ``None``: they are a split of the dataset.
    """

    store: Store
    folder: Path
    predictor: Predictor
    class_prior: np.ndarray
    dataset: OpenDataset
    rows: pd.DataFrame
    images: ModelImages
    looks: AccessCounts | None
    external: External | None = None


def open_evaluation(job: EvaluateJob, store: Store, workdir: Path, on_progress: ProgressCallback) -> Opened:
    """Bring model and dataset to this machine, check that the one may be measured on the other, and note the access.

    Raises:
        LesionError: As ``evaluation.job.run``.
    """
    dataset = open_dataset(store, job.dataset, workdir / "datasets", on_progress)
    verify_certificate(dataset)
    dataset = with_splits_of(job.model, dataset)
    rows, external = rows_to_evaluate(dataset, job.split), None
    if is_external(dataset):
        cache = workdir / "datasets"
        external, rows = choose_unseen(store, job.model, dataset, cache=cache, on_progress=on_progress)
    folder = materialise(store, job.model, workdir / "models", on_progress)
    predictor = Predictor.load(folder, model_id=job.model.id)
    if job.model.dataset.sha256 == job.dataset.sha256:
        check_not_calibrated_on(predictor.folder, rows, job.split)
    prior = stated_prior(predictor.folder)
    looks = record_access(job, store) if job.split == "test" else None  # the last thing before images are opened
    images = ModelImages(dataset, store, predictor.preprocessing)
    return Opened(store, folder, predictor, prior, dataset, rows, images, looks, external)
