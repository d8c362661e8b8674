"""Model versions: immutable folders, found by their index."""

from lesion_core.refs import ModelRef
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import get_reference, list_references
from lesion_core.types import Slug

_KIND = "models"


def list_models(store: Store, recipe: Slug | None = None) -> list[ModelRef]:
    """Return every complete model version, or those of one recipe, sorted by id.

    Raises:
        ArtifactCorrupt: An index is none, or describes something else.
    """
    prefix = f"{_KIND}/{recipe}/" if recipe else f"{_KIND}/"
    return list(list_references(store, ModelRef, prefix))


def get_model(store: Store, model_id: str) -> ModelRef:
    """Return the model version called ``model_id``, e.g. 'isic-quick/0f3a9c1d22b4'.

    Raises:
        ArtifactNotFound: There is none; the message names those that are.
    """
    return get_reference(store, ModelRef, _KIND, model_id)
