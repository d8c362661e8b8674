"""The training child: from a recipe and a dataset to a stored model version."""

import shutil
from pathlib import Path
from typing import Any

from lesion_core.dataset.proof.certificate import verify_certificate
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.dataset.splitting.folds import hold_test
from lesion_core.errors import ConfigError
from lesion_core.lineage.unseen_check import check_network, check_unseen, get_version
from lesion_core.progress import ProgressCallback, ignore_progress
from lesion_core.refs import ModelRef
from lesion_core.serving.model_folder import ModelFolder, read_model_folder
from lesion_core.stores.filesystem import translated
from lesion_core.stores.folders import materialise, publish
from lesion_core.stores.making import make_once
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.training.devices import make_strategy, memory_refused, set_up
from lesion_core.training.distillation import check_teachable
from lesion_core.training.ensemble import check_weights, fit_members, starting_weights
from lesion_core.training.output import Lesson, Making, write_model
from lesion_core.training.output_key import training_inputs, training_key
from lesion_core.training.plan import make_plan
from lesion_core.training.pretrained import with_local_weights
from lesion_core.training.resuming import training_scratch
from lesion_core.training.spec import TrainJob
from lesion_core.training.teacher import Teacher, open_teacher, teach
from lesion_core.training.version import STEP_VERSION
from lesion_core.types import JsonDict


def run(spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> ModelRef:
    """Train what ``spec`` (a ``TrainJob``) describes and return the stored model version.

    A version that is already there is returned at once. A training that was killed is continued from its
    last checkpoint in ``workdir``; two processes with the same work wait for each other.

    Raises:
        ConfigError: The recipe and the dataset, the model to start from or the teacher do not fit.
        LeakageError: The dataset's certificate does not hold, or a model to start from or a teacher has seen groups
            that this training chooses, calibrates or tests on.
        TrainingError: Training could not finish (``TrainingDiverged``: the loss is not a number).
        StoreError: The store could not be read or written.
    """
    job = TrainJob.model_validate(spec)
    key = training_key(job)
    scratch = training_scratch(job, workdir)
    return make_once(store, ModelRef, key, scratch, lambda: _train(job, key, store, workdir, scratch, on_progress))


def _train(
    job: TrainJob, key: str, store: Store, workdir: Path, scratch: Path, on_progress: ProgressCallback
) -> ModelRef:
    recipe = job.recipe
    described = recipe if job.start_from else with_local_weights(recipe, store, workdir)  # first: may not be there
    dataset = open_for_training(job, store, workdir, on_progress)
    base = None if job.start_from is None else _base(job, job.start_from, dataset, store, workdir, on_progress)
    teacher = _teacher(job, dataset, store, workdir, on_progress)
    if teacher is not None and base is None:
        check_weights(described)  # before the teacher is asked about every image
    answers = scratch / "teacher"
    teaching = teach(
        teacher, recipe, dataset, job.distillation, store=store, scratch=answers, on_progress=on_progress
    )
    set_up(recipe)  # before the devices are asked for; each network is set up again with its own seed
    start = None if base is None else starting_weights(base, recipe)
    with make_strategy(recipe).scope():
        model, fits = fit_members(
            described, dataset, scratch=scratch, start=start, teaching=teaching, on_progress=on_progress
        )
    folder = scratch / "model"
    shutil.rmtree(folder, ignore_errors=True)
    with translated(folder):
        folder.mkdir(parents=True)
        made = Making(base, _lesson(job, teacher), fold=job.fold)
        with memory_refused(
            f"recipe {recipe.name!r} is trained, but needs more memory than there is to write its model of "
            f"{recipe.ensemble_size} networks and {recipe.test_time_augmentation} views; free some and run again, "
            "which writes what is trained, or lower test_time_augmentation or ensemble_size"
        ):
            write_model(folder, model, recipe, dataset, fits, made, on_progress)
    index, sha256 = publish(
        store,
        key,
        folder,
        step="train",
        step_version=STEP_VERSION,
        inputs=training_inputs(job),
        summary=_summary(job, base, teacher),
        on_progress=on_progress,
    )
    return ref_from_folder(ModelRef, key, index, sha256)


def open_for_training(
    job: TrainJob, store: Store, workdir: Path, on_progress: ProgressCallback = ignore_progress
) -> OpenDataset:
    """Open the dataset, with the splits of the job's fold, if it fits the recipe and its certificate holds."""
    recipe, ref = job.recipe, job.dataset
    if ref.size_px != recipe.size_px:
        raise ConfigError(
            f"recipe {recipe.name!r} wants images of {recipe.size_px} px, the records of dataset {ref.id} have "
            f"{ref.size_px}; prepare the dataset with size_px {recipe.size_px}, or change the recipe"
        )
    if ref.colour_constancy != recipe.colour_constancy:
        raise ConfigError(
            f"recipe {recipe.name!r} wants colour constancy {recipe.colour_constancy!r}, the records of dataset "
            f"{ref.id} have {ref.colour_constancy!r}; prepare it with the recipe's, or change the recipe"
        )
    dataset = open_dataset(store, ref, workdir / "datasets", on_progress)
    verify_certificate(dataset)  # of the splits as they are stored; it covers the folds too
    if job.fold is not None:
        _check_folds(dataset)
        dataset = dataset.for_fold(job.fold)
    make_plan(recipe, dataset.split("train"), is_tuning=job.start_from is not None)  # refuses before any work
    return dataset


def _check_folds(dataset: OpenDataset) -> None:
    if hold_test(dataset.rows):
        raise ConfigError(
            f"expected folds without images of the frozen test, got those of dataset {dataset.ref.id}, which is of "
            "an older version and has some: whoever chooses by them chooses by the test; prepare the dataset again"
        )


def _base(
    job: TrainJob, model_id: str, dataset: OpenDataset, store: Store, workdir: Path, on_progress: ProgressCallback
) -> ModelFolder:
    """Bring the model to start from to this machine, if its network fits and it has seen nothing that it must not."""
    ref = get_version(store, model_id, job.start_from_sha256, role="model to start from")
    base = read_model_folder(materialise(store, ref, workdir / "models", on_progress), model_id=ref.id)
    check_network(job.recipe, base)
    check_unseen(store, [ref], dataset, job.fold, role="model to start from")
    return base


def _teacher(
    job: TrainJob, dataset: OpenDataset, store: Store, workdir: Path, on_progress: ProgressCallback
) -> Teacher | None:
    """Bring the teacher to this machine, if the recipe can be taught and it has seen nothing that it must not."""
    teacher = open_teacher(job, store, workdir, on_progress)
    if teacher is not None:
        check_teachable(job.recipe)
        check_unseen(store, [teacher.ref], dataset, job.fold, role="teacher")
    return teacher


def _lesson(job: TrainJob, teacher: Teacher | None) -> Lesson | None:
    return None if teacher is None else Lesson(teacher.folder, teacher.ref.sha256, job.distillation)


def _summary(job: TrainJob, base: ModelFolder | None, teacher: Teacher | None) -> JsonDict:
    parents = [*([base] if base else []), *([teacher.folder] if teacher else [])]
    return {
        "recipe": job.recipe.name,
        "dataset": job.dataset.model_dump(mode="json"),
        "fold": job.fold,
        "synthetic": job.dataset.synthetic or any(folder.provenance.synthetic for folder in parents),
    }
