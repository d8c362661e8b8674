"""Training, in a child process that owns TensorFlow."""

import json

from prefect import task
from prefect.runtime import task_run

from lesion_core import jobs
from lesion_core.recipes.recipe import Recipe, choose_recipe, parse_recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.stores.folders import read_file
from lesion_core.stores.references import find_reference
from lesion_core.training.output_key import training_key
from lesion_core.training.spec import Distillation, FineTuning, TrainJob
from lesion_core.types import StoreKey
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT, training_slot


def load_recipe(choice: Recipe | str) -> Recipe:
    """Return the recipe, read by name where only a name is given."""
    return choose_recipe(choice, read_settings().recipes)


@task(name="load-recipe-of-model", **RETRY_TRANSIENT)
def load_recipe_of(model: ModelRef, choice: Recipe | str | None, changes: FineTuning) -> Recipe:
    """Return the recipe of a fine-tuning: the one chosen, or else the model's own, with the changes."""
    own = parse_recipe(json.loads(read_file(open_store(), model, "recipe.json")), source=model.id)
    return changes.applied_to(load_recipe(choice) if choice else own)


def _name_run() -> str:
    """Name a training by recipe and fold, so that those of a comparison can be distinguished."""
    given = task_run.parameters
    fold = given.get("fold")
    return f"train-model {given['recipe'].name}{'' if fold is None else f' fold {fold}'}"


@task(name="train-model", task_run_name=_name_run, **RETRY_TRANSIENT)
def train_model(recipe: Recipe, dataset: DatasetRef, fold: int | None = None) -> ModelRef:
    """Train a recipe on a dataset, or without one fold of it; a retry after a kill resumes from its checkpoint."""
    return _train(TrainJob(recipe=recipe, dataset=dataset, fold=fold))


@task(name="distill-model", **RETRY_TRANSIENT)
def distill_model(recipe: Recipe, dataset: DatasetRef, teacher: ModelRef, distillation: Distillation) -> ModelRef:
    """Train a student on the labels and on a teacher's answers; resumes as a training does."""
    return _train(TrainJob(recipe=recipe, dataset=dataset).taught_by(teacher, distillation))


@task(name="fine-tune-model", **RETRY_TRANSIENT)
def fine_tune_model(recipe: Recipe, dataset: DatasetRef, base: ModelRef) -> ModelRef:
    """Train a recipe from the weights of another model version; resumes as a training does."""
    return _train(TrainJob(recipe=recipe, dataset=dataset).starting_from(base))


def _train(job: TrainJob) -> ModelRef:
    store, key = open_store(), training_key(job)
    model = find_reference(store, ModelRef, key) or _train_in_turn(job, key)
    history = read_file(store, model, "history.csv").decode()
    publish.markdown(publish.TRAIN_HISTORY, publish.csv_as_markdown(history), f"Training history: {model.id}")
    sheet = read_file(store, model, "contact_sheet.png")
    publish.images(publish.CONTACT_SHEET, [("What the network sees", sheet)], f"Contact sheet: {model.id}")
    return model


def _train_in_turn(job: TrainJob, key: StoreKey) -> ModelRef:
    with publish.progress("training-progress", job.recipe.name) as on_progress, training_slot(on_progress):
        return jobs.run("train", job, ModelRef, key=key, settings=read_settings(), on_progress=on_progress)
