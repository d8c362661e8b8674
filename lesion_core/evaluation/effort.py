"""How many images an analysis may predict again: fewer where one prediction is many passes of a network."""

from lesion_core.recipes.former_names import with_present_names
from lesion_core.serving.model_folder import ModelFolder


def n_passes(folder: ModelFolder) -> int:
    """Return how many passes one prediction is: networks of the ensemble times views of test-time augmentation."""
    recipe = with_present_names(folder.recipe)
    return int(recipe.get("ensemble_size", 1)) * int(recipe.get("test_time_augmentation", 1))


def at_most(folder: ModelFolder, most: int, *, least: int) -> int:
    """Return ``most`` by the number of passes, and ``least`` at least."""
    return max(least, most // n_passes(folder))
