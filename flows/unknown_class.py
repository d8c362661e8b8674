"""Does a model tell that it does not know a class?"""

from prefect import flow

from flows.ingest import bring_images
from lesion_core.dataset.options import PrepareOptions
from lesion_core.evaluation.left_out.spec import UnknownClassRef, without
from lesion_core.isic.source import ArchiveSource
from lesion_core.labels import Diagnosis
from lesion_core.recipes.recipe import Recipe
from tasks.dataset import prepare_dataset
from tasks.left_out import measure_unknown_class
from tasks.training import load_recipe, train_model

_CLASSES = (Diagnosis.AK, Diagnosis.DF, Diagnosis.VASC)


@flow(name="unknown-class", flow_run_name="unknown-class")
def unknown_class_flow(
    source: ArchiveSource,
    classes: tuple[Diagnosis, ...] = _CLASSES,
    recipe: Recipe | str = "isic-tiny",
    splits: PrepareOptions = PrepareOptions(),
) -> list[UnknownClassRef]:
    """Train without a class, and measure what the model makes of its images; one class after the other.

    All groups with an image of the class are test images, so that nothing learns or is calibrated on it. Its images
    are held against test images of the other classes by every score that a model has for what it does not know: area
    under the ROC curve, false accepts at a threshold with 5 % false alarms on calibration images, and how many are
    answered malignant. The datasets and models have names of their own and are never nominated.

    Args:
        source: Which images.
        classes: Which classes are left out, one at a time.
        recipe: What to train, preferably a short one: the recipe itself, a name, or a YAML file's path.
        splits: Shares and seed of the splits; name, size and colour constancy follow the recipe.

    Raises:
        DataError: There is no image of a class, or too few lesions without it.
    """
    recipe = load_recipe(recipe)
    snapshot = bring_images(source, recipe.dataset)
    found = []
    for diagnosis in classes:
        changed, options = without(recipe, splits, diagnosis)
        dataset = prepare_dataset(snapshot, options)
        model = train_model(changed, dataset)
        found.append(measure_unknown_class(model, dataset, diagnosis))
    return found
