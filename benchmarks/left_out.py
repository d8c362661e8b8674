"""What a model makes of classes that it never learnt: ``python -m benchmarks.left_out ARCHIVE WORK``.

Or of a source: ``python -m benchmarks.left_out ARCHIVE WORK SOURCE``.

ARCHIVE is a folder as the archive's downloader leaves it; WORK keeps store, datasets and models, so that a benchmark
that was stopped goes on there. A short recipe (the tiny network, 64 px) is trained without AK, without DF, without
VASC, or without the source, each on a sample of the archive. What is said of it is said of so short a training.
"""

import sys
import time
from pathlib import Path

from benchmarks.measure import write_result
from lesion_core import jobs
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.evaluation.left_out.source_shift import measure_source_shift, read_source_shift
from lesion_core.evaluation.left_out.spec import (
    SourceShiftJob,
    UnknownClassJob,
    UnknownClassRef,
    unknown_class_key_of,
)
from lesion_core.evaluation.left_out.spec import without as left_out_of
from lesion_core.evaluation.left_out.unknown_class_job import read_unknown_class
from lesion_core.evaluation.output_key import report_key_of
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.labels import Diagnosis
from lesion_core.progress import Progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef, ReportRef, SnapshotRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from lesion_core.training.output_key import training_key
from lesion_core.training.spec import TrainJob

LIMIT = 4000
CLASSES = (Diagnosis.AK, Diagnosis.DF, Diagnosis.VASC)
SPLITS = PrepareOptions(calibration=0.2)
RECIPE = Recipe.model_validate(
    {
        "name": "short",
        "size_px": 64,
        "backbone": "tiny",
        "weights": "none",
        "optimisation": {"epochs": 10, "batch_size": 32, "learning_rate": 0.003, "patience": 10},
    }
)
COMMAND = "python -m benchmarks.left_out ARCHIVE WORK"
_told: set[str] = set()


def say(progress: Progress) -> None:
    """Print each stage once, and every epoch."""
    line = f"{progress.stage} {progress.message if progress.metrics else ''} {dict(progress.metrics)}"
    if line not in _told:
        _told.add(line)
        print(f"{time.strftime('%X')} {line}", flush=True)


def trained(
    snapshot: SnapshotRef, left_out: Diagnosis | str, store: LocalStore, settings: LesionSettings
) -> tuple[DatasetRef, ModelRef]:
    """Prepare a dataset without a class or a source, and train the recipe on it."""
    recipe, options = left_out_of(RECIPE, SPLITS, left_out)
    dataset = prepare(snapshot, options, store, workdir=settings.work, on_progress=say)
    job = TrainJob(recipe=recipe, dataset=dataset)
    return dataset, jobs.run("train", job, ModelRef, key=training_key(job), settings=settings, on_progress=say)


def unknown_class(snapshot: SnapshotRef, store: LocalStore, settings: LesionSettings) -> dict[str, object]:
    """Return how each class that was left out is told, as a table and as numbers."""
    rows, found = [], []
    for diagnosis in CLASSES:
        dataset, model = trained(snapshot, diagnosis, store, settings)
        job = UnknownClassJob(model=model, dataset=dataset, diagnosis=diagnosis)
        key = unknown_class_key_of(job)
        ref = jobs.run("unknown-class", job, UnknownClassRef, key=key, settings=settings, on_progress=say)
        metrics = read_unknown_class(store, ref)
        found.append(metrics.model_dump(mode="json"))
        print(metrics.in_words(), flush=True)
        for one in metrics.scores:
            cells = (one.auroc, one.false_alarms, one.false_accepts, one.false_malignant)
            rows.append([f"{diagnosis} ({metrics.n_unknown})", one.score, *(each.in_words() for each in cells)])
    header = [
        "left out (images)", "score", "AUROC", "false alarms", "accepted", "accepted and answered malignant",
    ]  # fmt: skip
    return {"table": {"header": header, "rows": rows}, "found": found}


def source_shift(
    snapshot: SnapshotRef, source: str, store: LocalStore, settings: LesionSettings
) -> dict[str, object]:
    """Return how the model does on known sources and on the one that was left out."""
    dataset, model = trained(snapshot, source, store, settings)
    reports = []
    for split in ("calibration", "test"):
        job = EvaluateJob.model_validate({"model": model, "dataset": dataset, "split": split, "analyses": False})
        key = report_key_of(job)
        reports.append(jobs.run("evaluate", job, ReportRef, key=key, settings=settings, on_progress=say))
    shift = SourceShiftJob(internal=reports[0], elsewhere=reports[1], source=source)
    metrics = read_source_shift(store, measure_source_shift(shift, store))
    print(metrics.in_words(), flush=True)
    header = ["measure", "known sources", f"source {source!r}, left out", "difference"]
    rows = [
        [one.measure, *(each.in_words() for each in (one.internal, one.elsewhere, one.difference))]
        for one in metrics.shifts
    ]
    return {"table": {"header": header, "rows": rows}, "found": metrics.model_dump(mode="json")}


def main(archive: Path, work: Path, source: str = "") -> None:
    """Measure, and write ``unknown-class.json`` or, where a source is named, ``source-shift.json``."""
    store = LocalStore(work / "store")
    settings = LesionSettings(store=str(work / "store"), work=work / "work")
    with running_mirror(archive) as url:
        snapshot = ingest(ArchiveSource(url=url, limit=LIMIT), store, on_progress=say)
    about = {"n_images": snapshot.n_images, "recipe": RECIPE.model_dump(mode="json", exclude={"description", "gate"})}
    if source:
        result = source_shift(snapshot, source, store, settings)
        print(write_result("source-shift", f"{COMMAND} {source}", {**result, **about}))
    else:
        print(write_result("unknown-class", COMMAND, {**unknown_class(snapshot, store, settings), **about}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
