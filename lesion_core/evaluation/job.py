"""The evaluation child: from a model and a dataset to a stored report.

What is measured is what is served: the model's ONNX file through the predictor behind the page.
"""

from pathlib import Path
from typing import Any

import numpy as np

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.evaluation.analysis.run import Material, analyse
from lesion_core.evaluation.analysis.subgroups import subgroup_columns
from lesion_core.evaluation.cases.run import analyse_cases
from lesion_core.evaluation.external import measure_external
from lesion_core.evaluation.measurement import N_RESAMPLINGS, measure_scores
from lesion_core.evaluation.opened import Opened, open_evaluation
from lesion_core.evaluation.output_key import report_inputs, report_key_of
from lesion_core.evaluation.predictions import count_seen, predict_rows, table_of_predictions
from lesion_core.evaluation.rendering.writing import Found, write_files
from lesion_core.evaluation.report import Metrics, Subject
from lesion_core.evaluation.scored import Scored
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.version import STEP_VERSION
from lesion_core.keys import id_of
from lesion_core.labels import CLASS_ORDER
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.refs import ReportRef
from lesion_core.stores.folders import publish
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
        return _evaluate(job, key, open_evaluation(job, store, workdir, on_progress), emptied(scratch), on_progress)

    return make_once(store, ReportRef, key, scratch, make)


def _evaluate(
    job: EvaluateJob, key: StoreKey, opened: Opened, scratch: Path, on_progress: ProgressCallback
) -> ReportRef:
    found = _find(job, opened, scratch / "shuffled", on_progress)
    folder = emptied(scratch / "report")
    write_files(folder, job.model, opened, found, on_progress)
    index, sha256 = publish(
        opened.store,
        key,
        folder,
        step=STEP,
        step_version=STEP_VERSION,
        inputs=report_inputs(job),
        summary=_summary(job, found.metrics),
        on_progress=on_progress,
    )
    return ref_from_folder(ReportRef, key, index, sha256)


def _find(job: EvaluateJob, opened: Opened, scratch: Path, on_progress: ProgressCallback) -> Found:
    rows = opened.rows
    answers = predict_rows(opened.predictor, opened.images, rows, on_progress)
    true, groups = rows["class_index"].to_numpy(np.int64), rows["group"].astype(str).to_numpy(dtype=str)
    scored, metrics = _measure(Scored(true, answers.probs, groups, opened.class_prior), job, opened, on_progress)
    if not job.analyses:
        return Found(answers, scored, metrics, analyses=None, cases=None)
    asked: dict[str, Any] = {"n_bootstrap": job.n_bootstrap, "seed": job.seed}
    predictions = table_of_predictions(rows, scored.probs, answers.ood_scores)
    cases = analyse_cases(opened, predictions, answers.embeddings, scratch, on_progress=on_progress, **asked)
    manifest = read_table(opened.dataset.folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    material = Material(
        folder=opened.predictor.folder,
        predict=lambda pixels, metadata: opened.predictor.predict(pixels, metadata).probs,
        pixels=opened.images.pixels,
        rows=rows,
        subgroups=subgroup_columns(rows, manifest),
        scored=scored,
        ood_scores=answers.ood_scores,
        **asked,
    )
    return Found(answers, scored, metrics, analyse(material, cases, on_progress), cases)


def _measure(
    scored: Scored, job: EvaluateJob, opened: Opened, on_progress: ProgressCallback
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


def _subject(job: EvaluateJob, opened: Opened) -> Subject:
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
