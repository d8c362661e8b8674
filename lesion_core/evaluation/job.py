"""The evaluation child: from a model and a dataset to a stored report.

What is measured is what is served: the model's ONNX file through the predictor behind the page.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesion_core.dataset.model_images import ModelImages
from lesion_core.dataset.proof.certificate import verify_certificate
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.dataset.summary import describe
from lesion_core.evaluation.card import card_of, write_cards
from lesion_core.evaluation.external import External, choose_unseen, is_external, measure_external
from lesion_core.evaluation.gallery import write_misclassified, write_origins, write_performance
from lesion_core.evaluation.measurement import N_RESAMPLINGS, Scored, measure_scores
from lesion_core.evaluation.output_key import report_inputs, report_key_of
from lesion_core.evaluation.predictions import (
    check_not_calibrated_on,
    count_seen,
    predict_rows,
    rows_to_evaluate,
    table_of_mistakes,
    table_of_predictions,
    with_splits_of,
)
from lesion_core.evaluation.report import (
    METRICS_NAME,
    MISCLASSIFIED_NAME,
    PREDICTIONS_NAME,
    Metrics,
    Subject,
)
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.test_access import AccessCounts, record_access
from lesion_core.evaluation.version import STEP_VERSION
from lesion_core.isic.external.labels import LEFT_OUT_NAME
from lesion_core.keys import id_of
from lesion_core.labels import CLASS_ORDER
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.refs import ReportRef
from lesion_core.serving.model_folder import stated_prior
from lesion_core.serving.predictor import Predictor
from lesion_core.stores.folders import materialise, publish
from lesion_core.stores.making import emptied, make_once
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import LICENCE_ORDER, JsonDict, StoreKey

STEP = "evaluate"


def run(spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> ReportRef:
    """Evaluate what ``spec`` (an ``EvaluateJob``) describes and return the stored report.

    A report that is already there is returned at once; two processes with the same work wait for each other.

    Raises:
        DataError: The split has no images, or of an external test set the model was made from all of them.
        ConfigError: The job names companions, and another version of the recipe was measured on these test images; or
            the model is older and does not state which class shares its probabilities stand for.
        LeakageError: The dataset's certificate does not hold, or it is another than a model of a fold was trained on;
            or the model was calibrated on images of the split.
        ArtifactNotFound: Model, dataset or an image is not in the store.
        ArtifactCorrupt: Bytes that are not those that were published.
        StoreError: The store could not be read or written.
    """
    job = EvaluateJob.model_validate(spec)
    key = report_key_of(job)
    scratch = workdir / "evaluation" / id_of(key)

    def make() -> ReportRef:
        return _evaluate(job, key, _open(job, store, workdir, on_progress), emptied(scratch), on_progress)

    return make_once(store, ReportRef, key, scratch, make)


@dataclass(frozen=True, slots=True)
class _Opened:
    """Model and dataset at hand."""

    store: Store
    folder: Path
    predictor: Predictor
    class_prior: np.ndarray
    dataset: OpenDataset
    rows: pd.DataFrame
    images: ModelImages
    looks: AccessCounts | None
    external: External | None = None


def _open(job: EvaluateJob, store: Store, workdir: Path, on_progress: ProgressCallback) -> _Opened:
    dataset = open_dataset(store, job.dataset, workdir / "datasets", on_progress)
    verify_certificate(dataset)
    dataset = with_splits_of(job.model, dataset)
    external = None
    if is_external(dataset):
        cache = workdir / "datasets"
        external, rows = choose_unseen(store, job.model, dataset, cache=cache, on_progress=on_progress)
    else:
        rows = rows_to_evaluate(dataset, job.split)
    folder = materialise(store, job.model, workdir / "models", on_progress)
    predictor = Predictor.load(folder, model_id=job.model.id)
    if job.model.dataset.sha256 == job.dataset.sha256:
        check_not_calibrated_on(predictor.folder, rows, job.split)
    prior = stated_prior(predictor.folder)
    looks = record_access(job, store) if job.split == "test" else None  # the last thing before images are opened
    images = ModelImages(dataset, store, predictor.preprocessing)
    return _Opened(store, folder, predictor, prior, dataset, rows, images, looks, external)


def _evaluate(
    job: EvaluateJob, key: StoreKey, opened: _Opened, folder: Path, on_progress: ProgressCallback
) -> ReportRef:
    probs = predict_rows(opened.predictor, opened.images, opened.rows, on_progress)
    scored = Scored(
        opened.rows["class_index"].to_numpy(np.int64),
        probs,
        opened.rows["group"].astype(str).to_numpy(dtype=str),
        opened.class_prior,
    )
    scored, metrics = _measure(scored, job, opened, on_progress)
    _write(metrics, scored, job, opened, folder, on_progress)
    index, sha256 = publish(
        opened.store,
        key,
        folder,
        step=STEP,
        step_version=STEP_VERSION,
        inputs=report_inputs(job),
        summary=_summary(job, metrics),
        on_progress=on_progress,
    )
    return ref_from_folder(ReportRef, key, index, sha256)


def _measure(
    scored: Scored, job: EvaluateJob, opened: _Opened, on_progress: ProgressCallback
) -> tuple[Scored, Metrics]:
    """Return what is measured, with pooled answers where an external test's labels ask for it, and its numbers."""
    tally = Tally(on_progress, "bootstrap intervals", N_RESAMPLINGS * job.n_bootstrap)
    tally.tell("what was seen in training")
    subject = _subject(job, opened)
    asked: dict[str, Any] = {
        "temperature": opened.predictor.temperature,
        "on_drawn": lambda n: tally.add(n, "resamples of whole groups"),
    }
    if opened.external is not None:
        return measure_external(scored, opened.external, subject, **asked)
    return scored, measure_scores(scored, subject, **asked)


def _write(
    metrics: Metrics, scored: Scored, job: EvaluateJob, opened: _Opened, folder: Path, on_progress: ProgressCallback
) -> None:
    (folder / METRICS_NAME).write_text(metrics.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if opened.external is not None:
        opened.external.left_out.to_csv(folder / LEFT_OUT_NAME, index=False)
    predictions = table_of_predictions(opened.rows, scored.probs)
    predictions.to_parquet(folder / PREDICTIONS_NAME, index=False)
    mistakes = table_of_mistakes(predictions)
    mistakes.to_csv(folder / MISCLASSIFIED_NAME, index=False)
    summary = describe(opened.dataset)
    write_cards(folder, card_of(metrics, job.model, opened.predictor.folder, summary))
    figures, tally = folder / "figures", Tally(on_progress, "figures", 3)
    with tally.part("performance"):
        write_performance(figures, metrics, scored)
    with tally.part("misclassified images"):
        write_misclassified(figures, metrics, mistakes, opened.rows, opened.images)
    with tally.part("classes and training history"):
        write_origins(figures, metrics, summary, opened.folder)


def _subject(job: EvaluateJob, opened: _Opened) -> Subject:
    present = set(opened.rows["class_index"].tolist())
    licences = {job.dataset.licence, opened.predictor.folder.provenance.licence}
    return Subject(
        model_id=job.model.id,
        model_sha256=job.model.sha256,
        recipe=job.model.recipe,
        dataset_id=job.dataset.id,
        dataset_sha256=job.dataset.sha256,
        training_dataset_id=job.model.dataset.id,
        split=job.split,
        fold=job.model.fold,
        n_images=len(opened.rows),
        looks=opened.looks,
        n_seen_in_training=count_seen(opened.store, job.model, opened.dataset, opened.rows),
        n_groups=opened.rows["group"].nunique(),
        classes_present=tuple(name for place, name in enumerate(CLASS_ORDER) if place in present),
        absent_classes=tuple(name for place, name in enumerate(CLASS_ORDER) if place not in present),
        synthetic=job.model.synthetic or job.dataset.synthetic,
        licence=max(licences, key=LICENCE_ORDER.index),
        n_bootstrap=job.n_bootstrap,
        seed=job.seed,
        step_version=STEP_VERSION,
        external=opened.external.subject if opened.external else None,
    )


def _summary(job: EvaluateJob, metrics: Metrics) -> JsonDict:
    score = metrics.balanced_accuracy
    return {
        "model": job.model.model_dump(mode="json"),
        "dataset": job.dataset.model_dump(mode="json"),
        "split": job.split,
        "balanced_accuracy": score.value,
        "balanced_accuracy_low": score.low,
        "balanced_accuracy_high": score.high,
        "chance": metrics.chance,
        "n_images": metrics.subject.n_images,
        **({"external": metrics.subject.external.name} if metrics.subject.external else {}),
    }
