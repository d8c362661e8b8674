"""The scheduled run: what is new, and is it better?"""

from prefect import flow

from flows.evaluate import assess
from flows.ingest import bring_images
from lesion_core.dataset.options import PrepareOptions
from lesion_core.isic.source import ArchiveSource
from lesion_core.recipes.recipe import Recipe
from lesion_core.registry.channels import ChannelState
from tasks.dataset import prepare_dataset, publish_data_report
from tasks.ingest import list_archive
from tasks.monitoring import watch_archive
from tasks.registry import nominate_model
from tasks.training import load_recipe, train_model


@flow(name="retrain", flow_run_name="retrain")
def retrain_flow(
    source: ArchiveSource,
    recipe: Recipe | str = "isic-quick",
    splits: PrepareOptions = PrepareOptions(),
    accept: tuple[str, ...] = (),
) -> ChannelState:
    """Train on what the archive holds now and nominate what passes the gate; a person approves.

    An unchanged archive is a run that recomputes nothing. A changed schema stops the run before anything is
    downloaded; images that the archive withdrew are noted, and left out of this and every later dataset.

    Args:
        source: Which images.
        recipe: What to train: the recipe itself, a name in the recipes folder, or a YAML file's path.
        splits: Shares and seed of the splits; name and size follow the recipe.
        accept: Changes of the archive's schema that are known and meant, by the names that the message gave.

    Raises:
        SchemaDrift: Fields are missing, or images would lose class or site; the message holds the diff.
        GateNotPassed: The model failed a check; the candidate before it stays.
    """
    recipe = load_recipe(recipe)
    watch_archive(source, list_archive(source, recipe.dataset), accept)
    snapshot = bring_images(source, recipe.dataset)
    dataset = prepare_dataset(snapshot, splits.for_recipe(recipe.dataset, recipe.size_px, recipe.colour_constancy))
    publish_data_report(dataset)
    model = train_model(recipe, dataset)
    decision = assess(model, dataset, recipe.gate)
    return nominate_model(decision)
