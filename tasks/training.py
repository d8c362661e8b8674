"""Training, in a child process that owns TensorFlow."""

from prefect import task

from lesion_core import jobs
from lesion_core.modeling.recipe import Recipe, choose_recipe
from lesion_core.stores.folders import read_file
from lesion_core.training.identity import training_key
from lesion_core.training.spec import TrainJob
from lesion_core.types import DatasetRef, ModelRef
from tasks import publish
from tasks.edge import open_store, read_settings
from tasks.policies import RETRY_TRANSIENT, training_slot


def load_recipe(choice: Recipe | str) -> Recipe:
    """Return the recipe, read by name where only a name is given."""
    return choose_recipe(choice, read_settings().recipes)


@task(name="train-model", **RETRY_TRANSIENT)
def train_model(recipe: Recipe, dataset: DatasetRef, fold: int | None = None) -> ModelRef:
    """Train a recipe on a dataset, or without one fold of it; a retry after a kill resumes from the last backup."""
    job = TrainJob(recipe=recipe, dataset=dataset, fold=fold)
    with training_slot(), publish.progress("training-progress", recipe.name) as on_progress:
        model = jobs.run(
            "train", job, ModelRef, key=training_key(job), settings=read_settings(), on_progress=on_progress
        )
    store = open_store()
    history = read_file(store, model, "history.csv").decode()
    publish.markdown(publish.TRAIN_HISTORY, publish.csv_as_markdown(history), f"Training history: {model.id}")
    sheet = read_file(store, model, "contact_sheet.png")
    publish.pictures(publish.CONTACT_SHEET, [("What the network sees", sheet)], f"Contact sheet: {model.id}")
    return model
