"""The child that measures a class which a model never learnt: outputs of the served model, then ``unknown_class``."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesion_core.dataset.model_images import ModelImages
from lesion_core.dataset.proof.certificate import verify_certificate
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.errors import ConfigError
from lesion_core.evaluation.left_out.spec import (
    METRICS_NAME,
    STEP_VERSION,
    SUMMARY_NAME,
    UNKNOWN_CLASS_STEP,
    UnknownClassJob,
    UnknownClassRef,
    unknown_class_inputs,
    unknown_class_key_of,
)
from lesion_core.evaluation.left_out.unknown_class import Outputs, UnknownClassMetrics, measure_unknown_class
from lesion_core.fields.columns import metadata_inputs
from lesion_core.keys import id_of
from lesion_core.labels import class_index
from lesion_core.markup import table
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.serving.predictor import Predictor
from lesion_core.stores.folders import materialise, publish, read_file
from lesion_core.stores.making import emptied, make_once
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder

_AT_A_TIME = 32
_HEADER = ("Score", "AUROC", "False alarms", "Accepted", "Accepted and answered malignant")


def run(spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> UnknownClassRef:
    """Measure what ``spec`` (an ``UnknownClassJob``) describes and return the stored outcome.

    Raises:
        ConfigError: The dataset was not made without this class, or the model was not trained on it.
        DataError: There are no training, calibration, known or unknown images.
        LeakageError: The dataset's certificate does not hold.
        ArtifactNotFound: Model or dataset is not in the store.
        StoreError: The store could not be read or written.
    """
    job = UnknownClassJob.model_validate(spec)
    key = unknown_class_key_of(job)
    scratch = workdir / "unknown-class" / id_of(key)

    def make() -> UnknownClassRef:
        metrics = _measure(job, store, workdir, on_progress)
        folder = emptied(scratch)
        (folder / METRICS_NAME).write_text(metrics.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (folder / SUMMARY_NAME).write_text(summary_of_unknown_class(metrics) + "\n", encoding="utf-8")
        summary = {
            "model": job.model.model_dump(mode="json"),
            "diagnosis": job.diagnosis,
            "best_score": metrics.scores[0].score,
            "best_auroc": metrics.scores[0].auroc.value,
            "synthetic": job.model.synthetic or job.dataset.synthetic,
        }
        index, sha256 = publish(
            store,
            key,
            folder,
            step=UNKNOWN_CLASS_STEP,
            step_version=STEP_VERSION,
            inputs=unknown_class_inputs(job),
            summary=summary,
        )
        return ref_from_folder(UnknownClassRef, key, index, sha256)

    return make_once(store, UnknownClassRef, key, scratch, make)


def read_unknown_class(store: Store, ref: UnknownClassRef) -> UnknownClassMetrics:
    """Return what was measured; raises as the store does."""
    return UnknownClassMetrics.model_validate_json(read_file(store, ref, METRICS_NAME))


def summary_of_unknown_class(metrics: UnknownClassMetrics) -> str:
    """Return the finding as Markdown: sentences, and a table of every score."""
    rows = [
        (
            one.score,
            *(each.in_words() for each in (one.auroc, one.false_alarms, one.false_accepts, one.false_malignant)),
        )
        for one in metrics.scores
    ]
    answers = ", ".join(f"{name} {n:,}" for name, n in metrics.answers.items())
    return f"{metrics.in_words()}\n\nIts images are answered with: {answers}.\n\n{table(_HEADER, rows)}"


def _measure(job: UnknownClassJob, store: Store, workdir: Path, on_progress: ProgressCallback) -> UnknownClassMetrics:
    dataset = open_dataset(store, job.dataset, workdir / "datasets", on_progress)
    _check(job, verify_certificate(dataset).inputs["options"].get("leave_out_class"))
    predictor = Predictor.load(materialise(store, job.model, workdir / "models", on_progress), model_id=job.model.id)
    images = ModelImages(dataset, store, predictor.preprocessing)
    test = dataset.split("test")
    is_unknown = test["class_index"] == class_index(job.diagnosis)
    parts = {
        "reference": _drawn(dataset, job),
        "calibration": dataset.split("calibration"),
        "known": test[~is_unknown].reset_index(drop=True),
        "unknown": test[is_unknown].reset_index(drop=True),
    }
    tally = Tally(on_progress, "predict", sum(map(len, parts.values())))
    said = {name: _outputs(predictor, images, rows, tally) for name, rows in parts.items()}
    return measure_unknown_class(
        job.diagnosis,
        reference=said["reference"],
        calibration=said["calibration"],
        known=said["known"],
        unknown=said["unknown"],
        temperature=predictor.temperature,
        n_bootstrap=job.n_bootstrap,
        seed=job.seed,
    )


def _check(job: UnknownClassJob, left_out: str | None) -> None:
    if left_out != job.diagnosis or job.model.dataset.sha256 != job.dataset.sha256:
        raise ConfigError(
            f"expected a model of a dataset without the class {job.diagnosis}, got {job.model.id}, trained on "
            f"{job.model.dataset.id}, and {job.dataset.id}, made without {left_out or 'no class left out'}; run the "
            "flow 'unknown-class', which trains one"
        )


def _drawn(dataset: OpenDataset, job: UnknownClassJob) -> pd.DataFrame:
    """Return training images of whole groups, drawn by the seed, up to the number that is asked for."""
    rows = dataset.split("train")
    sizes = rows["group"].value_counts()
    order = sorted(sizes.index, key=lambda group: hashlib.sha256(f"{job.seed}:{group}".encode()).digest())
    n_before = sizes[order].cumsum() - sizes[order]
    return rows[rows["group"].isin(n_before.index[n_before < job.n_reference])].reset_index(drop=True)


def _outputs(predictor: Predictor, images: ModelImages, rows: pd.DataFrame, tally: Tally) -> Outputs:
    answers = []
    for start in range(0, len(rows), _AT_A_TIME):
        part = rows.iloc[start : start + _AT_A_TIME]
        answers.append(predictor.predict(images.pixels(part), metadata_inputs(part)))
        tally.add(len(part), "images predicted")
    joined = {
        name: np.concatenate([getattr(one, name) for one in answers] or [np.zeros((0, 1))])
        for name in ("logits", "probs", "embedding")
    }
    scores = [score for one in answers if (score := getattr(one, "ood_score", None)) is not None]
    has_score = bool(scores) and len(scores) == len(answers)
    return Outputs(
        **joined,
        class_index=rows["class_index"].to_numpy(np.int64),
        groups=rows["group"].astype(str).to_numpy(dtype=str),
        ood_score=np.concatenate(scores).reshape(-1) if has_score else None,
    )
