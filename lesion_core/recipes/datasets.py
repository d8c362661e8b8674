"""Which dataset a recipe is for."""

from lesion_core.dataset.lineage import find_newest_recorded
from lesion_core.errors import ArtifactNotFound
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef
from lesion_core.stores.protocol import Store


def choose_dataset(recipe: Recipe, store: Store, name: str | None = None) -> DatasetRef:
    """Return the newest complete dataset whose records have the size and the colours that a recipe asks for.

    Args:
        recipe: Asks for a name, a size and a colour constancy.
        store: Where to look.
        name: Name of the dataset, in place of the one that the recipe asks for.

    Raises:
        ArtifactNotFound: There is none; the message says how to make it.
    """
    name = name or recipe.dataset
    found = find_newest_recorded(store, name, recipe.size_px, recipe.colour_constancy)
    if found is None:
        raise ArtifactNotFound(
            f"expected a dataset called {name!r} with records of {recipe.size_px} px and colour constancy "
            f"{recipe.colour_constancy!r} for recipe {recipe.name!r} in {store.url}, found none; run the flow "
            "'prepare' with them first",
            key=f"datasets/{name}",
        )
    return found.ref
