"""A small store with a prepared dataset, published models, and reports with chosen predictions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.evaluation.analysis.out_of_distribution import FalseAlarms
from lesion_core.evaluation.job import STEP
from lesion_core.evaluation.measurement import Scored, measure_scores
from lesion_core.evaluation.output_key import report_inputs, report_key_of
from lesion_core.evaluation.predictions import table_of_predictions, with_splits_of
from lesion_core.evaluation.report import ANALYSES_NAME, Metrics, Subject
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.version import STEP_VERSION
from lesion_core.keys import digest_of, model_key
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.serving.model_folder import CALIBRATION_IMAGES_NAME
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder
from tests.core.dataset.snapshots import draw, encode, image_row, store_snapshot
from tests.model_folders import SIZE_PX, write_model_folder

# No VASC at all, so that a class is absent from every split.
CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "SCC")


def make_dataset(
    store: LocalStore, place: Path, *, n_images: int = 84, size_px: int = SIZE_PX, name: str = "small", **changes: Any
) -> OpenDataset:
    """Prepare images of seven classes, two of each lesion."""
    images = []
    for number in range(n_images):
        data = encode(draw(number))
        row = image_row(
            number,
            data,
            diagnosis=CLASSES[number // 2 % len(CLASSES)],
            lesion_id=f"IL_{number // 2}",
            attribution=("Hospital A", "Hospital B")[number // 2 % 2],
            **changes,
        )
        images.append((row, data))
    snapshot = store_snapshot(store, images, place / f"snapshot-{name}", name=name)
    options = PrepareOptions(name=name, size_px=size_px, test=0.4, validation=0.1, calibration=0.1)
    ref = prepare(snapshot, options, store, workdir=place / "work")
    return open_dataset(store, ref, place / "cache")


def publish_model(
    store: LocalStore,
    dataset: DatasetRef,
    place: Path,
    *,
    seed: int = 7,
    synthetic: bool = False,
    fold: int | None = None,
    start_from: str | None = None,
    recipe: str = "hand-made",
    calibrated_on: Sequence[str] | None = None,
    **changes: Any,
) -> ModelRef:
    """Publish a hand-made model as if it had been trained on ``dataset``, or without a fold of it."""
    folder = write_model_folder(place / f"model-{seed}-{synthetic}", seed=seed, synthetic=synthetic)
    provenance = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps({**provenance, **changes}))
    if calibrated_on is not None:
        (folder / CALIBRATION_IMAGES_NAME).write_text(json.dumps({"isic_ids": list(calibrated_on)}))
    history = {"epoch": [1, 2, 3], "stage": ["head", "all", "all"], "loss": [2.0, 1.5, 1.2]}
    pd.DataFrame({**history, "val_balanced_accuracy": [0.2, 0.35, 0.3]}).to_csv(folder / "history.csv", index=False)
    inputs = {"seed": seed, "dataset": dataset.sha256, "synthetic": synthetic, "fold": fold, "start_from": start_from}
    key = model_key(recipe, digest_of(inputs))
    summary = {
        "recipe": recipe,
        "dataset": dataset.model_dump(mode="json"),
        "fold": fold,
        "synthetic": synthetic,
    }
    published = publish(store, key, folder, step="train", step_version=1, inputs=inputs, summary=summary)
    return ref_from_folder(ModelRef, key, *published)


def publish_report(
    store: LocalStore,
    model: ModelRef,
    dataset: OpenDataset,
    place: Path,
    answer: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int = 7,
    flags: FalseAlarms | None = None,
) -> ReportRef:
    """Publish a report in which the model answers a test image of class c with ``answer(c)``.

    Args:
        store: Where to.
        model: Which model.
        dataset: Its test split is taken, of the model's fold where it has one.
        place: Scratch.
        answer: True classes int (n,) to predicted classes int (n,).
        seed: Of the job; another seed makes another report.
        flags: What its analyses say of out-of-distribution scores; none: it has no analyses.
    """
    job = EvaluateJob(model=model, dataset=dataset.ref, n_bootstrap=200, seed=seed)
    rows = with_splits_of(model, dataset).split("test")
    true = rows["class_index"].to_numpy(np.int64)
    probs = np.full((len(rows), len(CLASS_ORDER)), 0.04)
    probs[np.arange(len(rows)), answer(true)] = 0.72
    metrics = measure(job, rows, probs)
    folder = place / f"report-{model.sha256[:8]}-{seed}"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(metrics.model_dump_json())
    if flags is not None:
        (folder / ANALYSES_NAME).write_text(json.dumps({"out_of_distribution": flags.model_dump(mode="json")}))
    table_of_predictions(rows, probs).to_parquet(folder / "predictions.parquet", index=False)
    key = report_key_of(job)
    score = metrics.balanced_accuracy
    summary = {
        "model": model.model_dump(mode="json"),
        "dataset": dataset.ref.model_dump(mode="json"),
        "split": "test",
        "balanced_accuracy": score.value,
        "balanced_accuracy_low": score.low,
        "balanced_accuracy_high": score.high,
        "chance": metrics.chance,
        "n_images": len(rows),
    }
    published = publish(
        store, key, folder, step=STEP, step_version=STEP_VERSION, inputs=report_inputs(job), summary=summary
    )
    return ref_from_folder(ReportRef, key, *published)


def measure(job: EvaluateJob, rows: pd.DataFrame, probs: np.ndarray) -> Metrics:
    """Measure probabilities as the evaluation job does."""
    true = rows["class_index"].to_numpy(np.int64)
    subject = Subject(
        model_id=job.model.id,
        model_sha256=job.model.sha256,
        recipe=job.model.recipe,
        dataset_id=job.dataset.id,
        dataset_sha256=job.dataset.sha256,
        training_dataset_id=job.model.dataset.id,
        split=job.split,
        fold=job.model.fold,
        n_images=len(rows),
        n_groups=rows["group"].nunique(),
        classes_present=tuple(name for place, name in enumerate(CLASS_ORDER) if place in true),
        absent_classes=tuple(name for place, name in enumerate(CLASS_ORDER) if place not in true),
        synthetic=job.model.synthetic or job.dataset.synthetic,
        licence=job.dataset.licence,
        n_bootstrap=job.n_bootstrap,
        seed=job.seed,
        step_version=STEP_VERSION,
    )
    return measure_scores(Scored(true, probs, rows["group"].to_numpy(str)), subject, temperature=1.0)


def right(true: np.ndarray) -> np.ndarray:
    """Answer every image right."""
    return true


def always(diagnosis: Diagnosis) -> Callable[[np.ndarray], np.ndarray]:
    """Answer every image the same."""
    return lambda true: np.full_like(true, CLASS_ORDER.index(diagnosis))
