"""Which layers train after the warm-up of the head, and at which share of the rate."""

import math
from collections.abc import Iterator

import keras

from lesion_core.modeling.network.backbones import BACKBONE, backbone_stages
from lesion_core.modeling.network.network import unfreeze_backbone
from lesion_core.recipes.recipe import Recipe
from lesion_core.training.plan import starts_trained


def release(model: keras.Model, recipe: Recipe, *, is_tuning: bool = False) -> None:
    """Let the head and the top ``unfreeze`` share of the backbone's layers train, and nothing else.

    Layers are counted if they have weights, in the order in which an image passes them. BatchNormalization below
    the cut keeps its statistics too; above it, ``batch_norm`` decides, where there are any statistics to keep.
    """
    unfreeze_backbone(model)
    layers = [layer for layer in _leaves(model.get_layer(BACKBONE)) if layer.weights]
    n_frozen = len(layers) - math.ceil(recipe.optimisation.unfreeze * len(layers))
    for layer in layers[:n_frozen]:
        layer.trainable = False
    if recipe.optimisation.batch_norm == "frozen" and starts_trained(recipe, is_tuning=is_tuning):
        freeze_normalisation(model)


def freeze_normalisation(model: keras.Model) -> None:
    """Keep every BatchNormalization layer, nested ones included, on the statistics and scales it has.

    In a short fine-tuning the statistics of small batches cost more than they bring: the step takes a third
    longer, and the moving averages that validation and serving use lag behind.
    """
    for layer in normalisations(model):
        layer.trainable = False


def moving_statistics(model: keras.Model) -> list[keras.Variable]:
    """Return the means and variances that change while ``model`` trains as it is set up now."""
    layers = [layer for layer in normalisations(model) if layer.trainable]
    return [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]


def rate_shares(model: keras.Model, recipe: Recipe) -> dict[int, float]:
    """Return the factor on the rate of each of the backbone's variables, by ``id``; the head's have none, so 1.

    The coarsest resolution trains at the full rate, each finer one at ``rate_decay`` of the next (discriminative
    fine-tuning, Howard & Ruder 2018, arXiv:1801.06146): what the first layers see is much the same in all images.
    """
    decay = recipe.optimisation.rate_decay
    stages = backbone_stages(model)
    return {
        id(variable): decay**height
        for height, layers in enumerate(reversed(stages))
        for layer in layers
        for variable in layer.weights
    }


def _leaves(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def normalisations(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield every BatchNormalization layer, nested ones included."""
    return (layer for layer in _leaves(model) if isinstance(layer, keras.layers.BatchNormalization))
