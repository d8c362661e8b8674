"""The child of a trial: trains a recipe and keeps its score on validation; no export, no weights, no test images."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ConfigError
from lesion_core.modeling.network.network import build_network
from lesion_core.progress import ProgressCallback
from lesion_core.refs import TrialRef
from lesion_core.search.trial_scratch import scratch_of
from lesion_core.search.trial_spec import TrialJob, trial_inputs, trial_key_of
from lesion_core.stores.filesystem import translated
from lesion_core.stores.folders import publish
from lesion_core.stores.making import make_once
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.training.devices import make_strategy, set_up
from lesion_core.training.job import open_for_training
from lesion_core.training.loop.fit import FitResult, fit
from lesion_core.training.pretrained import with_local_weights
from lesion_core.training.version import STEP_VERSION
from lesion_core.types import JsonDict


def run(spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> TrialRef:
    """Carry out what ``spec`` (a ``TrialJob``) describes and return the stored trial.

    A trial that is already there is returned at once; one that was killed is continued from its last checkpoint in
    ``workdir``. Only the training split is learned from and only the validation split is looked at.

    Raises:
        ConfigError: The recipe and the dataset do not fit, or there is no image to validate on.
        LeakageError: The dataset's certificate does not hold.
        TrainingError: Training could not finish (``TrainingDiverged``: the loss is not a number).
        StoreError: The store could not be read or written.
    """
    job = TrialJob.model_validate(spec)
    key = trial_key_of(job)
    scratch = scratch_of(key, workdir)

    def make() -> TrialRef:
        return _keep(job, key, _fit(job, store, workdir, scratch, on_progress), store, scratch / "trial")

    return make_once(store, TrialRef, key, scratch, make)


def _fit(job: TrialJob, store: Store, workdir: Path, scratch: Path, on_progress: ProgressCallback) -> FitResult:
    recipe = with_local_weights(job.recipe, store, workdir)
    dataset = _with_validation(open_for_training(job.training(), store, workdir, on_progress), job)
    set_up(job.recipe)
    with make_strategy(job.recipe).scope():
        model = build_network(recipe)
        return fit(model, job.recipe, dataset, checkpoints=scratch / "checkpoint", on_progress=on_progress)


def _with_validation(dataset: OpenDataset, job: TrialJob) -> OpenDataset:
    if dataset.split("validation").empty:
        raise ConfigError(
            f"a trial is scored on validation images, but dataset {dataset.ref.id} has none"
            f"{'' if job.fold is None else f' in fold {job.fold}'}; prepare it with a validation share"
        )
    return dataset


def _keep(job: TrialJob, key: str, fitted: FitResult, store: Store, folder: Path) -> TrialRef:
    """Publish history and recipe, with the score in the reference itself."""
    shutil.rmtree(folder, ignore_errors=True)
    with translated(folder):
        folder.mkdir(parents=True)
        pd.DataFrame(fitted.history).to_csv(folder / "history.csv", index=False)
        (folder / "recipe.json").write_text(job.recipe.model_dump_json(indent=2) + "\n", encoding="utf-8")
    index, sha256 = publish(
        store,
        key,
        folder,
        step="trial",
        step_version=STEP_VERSION,
        inputs=trial_inputs(job),
        summary=_summary(job, fitted),
    )
    return ref_from_folder(TrialRef, key, index, sha256)


def _summary(job: TrialJob, fitted: FitResult) -> JsonDict:
    return {
        "dataset": job.dataset.model_dump(mode="json"),
        "fold": job.fold,
        "score": fitted.best_score,
        "best_epoch": fitted.best_epoch,
        "synthetic": job.dataset.synthetic,
    }
