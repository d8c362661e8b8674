"""Teach a small network what a larger one knows, measure it, and let the gate decide."""

from prefect import flow

from flows.evaluate import assess
from lesion_core.recipes.recipe import Recipe
from lesion_core.registry.verdicts import GateDecision
from lesion_core.training.spec import Distillation
from tasks.dataset import find_dataset_for
from tasks.registry import find_model
from tasks.training import distill_model, load_recipe

_DISTILLATION = Distillation()


@flow(name="distill", flow_run_name="distill")
def distill_flow(
    recipe: Recipe | str = "isic-tiny",
    teacher: str | None = None,
    distillation: Distillation = _DISTILLATION,
) -> GateDecision:
    """Train a student on the newest dataset its recipe asks for, from the labels and from a teacher's answers.

    Args:
        recipe: The student: the recipe itself, a name in the recipes folder, or a YAML file's path.
        teacher: A model's id, such as ``isic-cpu/0f3a9c1d22b4``; empty means the approved model.
        distillation: How the student listens.

    Raises:
        ArtifactNotFound: There is no dataset of the name, size and colours that the recipe asks for.
        LeakageError: The teacher was trained on groups that the student is chosen, calibrated or tested on.
    """
    recipe = load_recipe(recipe)
    teaching = find_model(teacher)
    dataset = find_dataset_for(recipe)
    model = distill_model(recipe, dataset, teaching, distillation)
    return assess(model, dataset, recipe.gate)
