"""The training child: from a recipe and a dataset to a stored model version."""

import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from lesion_core.dataset.certificate import verify_certificate
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.errors import ConfigError
from lesion_core.keys import id_of
from lesion_core.modeling.network import build_network, load_network
from lesion_core.modeling.recipe import Recipe
from lesion_core.modeling.views import single_view
from lesion_core.serving.model_folder import ModelFolder, read_model_folder
from lesion_core.stores.filesystem import locked, translated
from lesion_core.stores.folders import materialise, publish
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, get_reference, ref_from_folder
from lesion_core.training.fit import fit
from lesion_core.training.identity import training_inputs, training_key
from lesion_core.training.output import write_model
from lesion_core.training.plan import make_plan
from lesion_core.training.pretrained import with_local_weights
from lesion_core.training.spec import TrainJob
from lesion_core.training.version import STEP_VERSION
from lesion_core.types import JsonDict, ModelRef, Progress, ProgressCallback


def run(spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> ModelRef:
    """Train what ``spec`` (a ``TrainJob``) describes and return the stored model version.

    A version that is already there is returned at once. A training that was killed is continued from its
    last backup in ``workdir``; two processes with the same work wait for each other.

    Raises:
        ConfigError: The recipe and the dataset, or the recipe and the model to start from, do not fit.
        LeakageError: The dataset's certificate does not hold.
        TrainingError: Training could not finish (``TrainingDiverged``: the loss is not a number).
        StoreError: The store could not be read or written.
    """
    job = TrainJob.model_validate(spec)
    key = training_key(job)
    if (ref := find_reference(store, ModelRef, key)) is not None:
        return ref
    scratch = workdir / "training" / id_of(key)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with locked(scratch.with_name(f".{scratch.name}.lock")):
        if (ref := find_reference(store, ModelRef, key)) is not None:
            return ref
        ref = _train(job, key, store, workdir, scratch, on_progress)
        shutil.rmtree(scratch, ignore_errors=True)
    return ref


def _train(
    job: TrainJob, key: str, store: Store, workdir: Path, scratch: Path, on_progress: ProgressCallback
) -> ModelRef:
    recipe = job.recipe
    described = with_local_weights(recipe, store, workdir)  # first, because it may not be there
    dataset = _open(job, store, workdir)
    base = None if job.start_from is None else _base(job.start_from, store, workdir)
    _make_repeatable(recipe)
    model = build_network(described)
    if base is not None:
        _start_from(model, base, recipe)
    fitted = fit(model, recipe, dataset, backups=scratch / "backup", on_progress=on_progress)
    on_progress(Progress(stage="export", done=0, total=1, message="writing model.onnx and proving it equal"))
    folder = scratch / "model"
    shutil.rmtree(folder, ignore_errors=True)
    with translated(folder):
        folder.mkdir(parents=True)
        write_model(folder, model, recipe, dataset, fitted, base)
    index, sha256 = publish(
        store,
        key,
        folder,
        step="train",
        step_version=STEP_VERSION,
        inputs=training_inputs(job),
        summary=_summary(job, base),
    )
    on_progress(Progress(stage="export", done=1, total=1, message=f"stored {id_of(key)}"))
    return ref_from_folder(ModelRef, key, index, sha256)


def _open(job: TrainJob, store: Store, workdir: Path) -> OpenDataset:
    """Open the dataset if it fits the recipe and its certificate holds."""
    recipe, ref = job.recipe, job.dataset
    if ref.size_px != recipe.size_px:
        raise ConfigError(
            f"recipe {recipe.name!r} wants images of {recipe.size_px} px, the records of dataset {ref.id} have "
            f"{ref.size_px}; prepare the dataset with size_px {recipe.size_px}, or change the recipe"
        )
    dataset = open_dataset(store, ref, workdir / "datasets")
    verify_certificate(dataset)
    make_plan(recipe, len(dataset.split("train")))  # refuses a batch larger than the data before any work
    return dataset


def _make_repeatable(recipe: Recipe) -> None:
    keras.utils.set_random_seed(recipe.seed)
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()


def _base(model_id: str, store: Store, workdir: Path) -> ModelFolder:
    """Bring the model to start from to this machine."""
    ref = get_reference(store, ModelRef, "models", model_id)
    return read_model_folder(materialise(store, ref, workdir / "models"), model_id=ref.id)


def _start_from(model: keras.Model, base: ModelFolder, recipe: Recipe) -> None:
    """Give ``model`` the weights of an earlier version.

    Raises:
        ConfigError: The two networks differ.
    """
    earlier = single_view(load_network(base.path / "model.keras"))
    ours, theirs = ([tuple(weight.shape) for weight in network.weights] for network in (model, earlier))
    if ours != theirs:
        raise ConfigError(
            f"expected model {base.model_id} to have the network of recipe {recipe.name!r} ({len(ours)} weights), "
            f"got {len(theirs)} weights of other shapes; use its own backbone, head and size_px, or leave start_from "
            "out"
        )
    model.set_weights(earlier.get_weights())


def _summary(job: TrainJob, base: ModelFolder | None) -> JsonDict:
    return {
        "recipe": job.recipe.name,
        "dataset": job.dataset.model_dump(mode="json"),
        "synthetic": job.dataset.synthetic or (base is not None and base.provenance.synthetic),
    }
