"""Train one recipe, evaluate it, and let the gate decide."""

from prefect import flow

from flows.evaluate import assess
from lesion_core.recipes.recipe import Recipe
from lesion_core.registry.verdicts import GateDecision
from tasks.dataset import find_dataset_for
from tasks.training import load_recipe, train_model


@flow(name="train", flow_run_name="train")
def train_flow(recipe: Recipe | str = "isic-quick") -> GateDecision:
    """Train a recipe, given whole or by name, on the newest dataset of the name, size and colours it asks for."""
    recipe = load_recipe(recipe)
    dataset = find_dataset_for(recipe)
    model = train_model(recipe, dataset)
    return assess(model, dataset, recipe.gate)
