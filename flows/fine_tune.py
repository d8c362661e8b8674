"""Train on from a registered model, measure what comes of it, and let the gate decide."""

from prefect import flow

from flows.evaluate import assess
from lesion_core.recipes.recipe import Recipe
from lesion_core.registry.verdicts import GateDecision
from lesion_core.training.spec import FineTuning
from tasks.dataset import find_dataset_for
from tasks.registry import find_model
from tasks.training import fine_tune_model, load_recipe_of

_CHANGES = FineTuning()


@flow(name="fine_tune", flow_run_name="fine-tune-{model_id}")
def fine_tune_flow(
    model_id: str | None = None,
    recipe: Recipe | str | None = None,
    changes: FineTuning = _CHANGES,
    dataset: str | None = None,
) -> GateDecision:
    """Train a model version further on the newest dataset of a name that has the recipe's size and colours.

    Args:
        model_id: The model to start from, such as ``isic-cpu/0f3a9c1d22b4``; empty means the approved model.
        recipe: How to train, for the same network; empty means the model's own recipe.
        changes: What is different in it.
        dataset: A dataset's name; empty means the one that the recipe asks for.

    Raises:
        ArtifactNotFound: There is no such dataset.
        ConfigError: The recipe's network is another than the model's.
        LeakageError: The model was trained on groups that this training is chosen, calibrated or tested on.
    """
    base = find_model(model_id)
    how = load_recipe_of(base, recipe, changes)
    data = find_dataset_for(how, dataset)
    model = fine_tune_model(how, data, base)
    return assess(model, data, how.gate)
