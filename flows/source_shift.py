"""How much worse is a model on a source that it never saw?"""

from prefect import flow

from flows.ingest import bring_images
from lesion_core.dataset.options import PrepareOptions
from lesion_core.evaluation.left_out.spec import SourceShiftRef, without
from lesion_core.isic.source import ArchiveSource
from lesion_core.recipes.recipe import Recipe
from tasks.dataset import prepare_dataset
from tasks.evaluation import evaluate_model
from tasks.left_out import measure_source_shift
from tasks.training import load_recipe, train_model

_SPLITS = PrepareOptions(calibration=0.2)


@flow(name="source-shift", flow_run_name="source-shift")
def source_shift_flow(
    source: ArchiveSource, left_out: str, recipe: Recipe | str = "isic-tiny", splits: PrepareOptions = _SPLITS
) -> SourceShiftRef:
    """Train without the images of one source, and measure the model on that source and on the others.

    The source that is left out becomes the test split; the rest is split by groups into training, validation and
    calibration. The model is measured on calibration images, which taught it no answer, and on the source that it
    never saw, over the classes that both have, with intervals of the difference.

    Args:
        source: Which images.
        left_out: Name of the source (collection or institution) as the data report lists it.
        recipe: What to train: the recipe itself, a name in the recipes folder, or a YAML file's path.
        splits: Shares and seed of the splits; name, size and colour constancy follow the recipe.

    Raises:
        DataError: There is no such source (the message names those that are), or it shares fewer than two classes.
    """
    recipe = load_recipe(recipe)
    changed, options = without(recipe, splits, left_out)
    snapshot = bring_images(source, recipe.dataset)
    dataset = prepare_dataset(snapshot, options)
    model = train_model(changed, dataset)
    internal = evaluate_model(model, dataset, "calibration", analyses=False)
    elsewhere = evaluate_model(model, dataset)
    return measure_source_shift(internal, elsewhere, left_out)
