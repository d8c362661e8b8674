"""The frozen stage at a fraction of its cost: backbone features once, then a head that trains on them.

Every head looks at the spatial means of the feature maps only: its convolutions are 1x1, its dropout takes
whole channels, its maps are averaged. So means spread evenly over the map give the very same logits, and a
frozen backbone needs to see each image once, not once an epoch. The images are seen without augmentation.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lesion_core.dataset.records import OpenDataset
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import N_CLASSES
from lesion_core.modeling.feed.input import Batch, epoch_order, evaluation_batches
from lesion_core.modeling.feed.losses import LABELS
from lesion_core.modeling.network.backbones import BACKBONE
from lesion_core.modeling.network.network import METADATA_DROPOUT
from lesion_core.recipes.recipe import Recipe

Pooled = dict[str, np.ndarray]  # pooled_0, pooled_1 …: float32 (n, channels), finest map first


def pool_features(
    model: keras.Model,
    dataset: OpenDataset,
    rows: pd.DataFrame,
    batch_size: int,
    on_images: Callable[[int], None] = lambda n: None,
) -> Pooled:
    """Return the spatial means of the feature maps that the head uses, for every row, in row order.

    ``on_images`` hears after each batch how many images are done.
    """
    backbone = model.get_layer(BACKBONE)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator, unused-ignore]
    def pool(images: tf.Tensor) -> list[tf.Tensor]:
        return [
            tf.reduce_mean(tf.cast(features, tf.float32), (1, 2)) for features in backbone(images, training=False)
        ]

    parts: list[list[np.ndarray]] = []
    done = 0
    for inputs in evaluation_batches(dataset, rows, batch_size):
        parts.append([pooled.numpy() for pooled in pool(tf.constant(inputs["image"]))])
        done += len(inputs["image"])
        on_images(done)
    columns = {f"pooled_{i}": np.concatenate(column) for i, column in enumerate(zip(*parts, strict=True))}
    return {name: columns[name] for name in _head_inputs(model)}


def make_head(model: keras.Model) -> keras.Model:
    """Return a model from pooled features and metadata to the logits that shares the layers of ``model``.

    Inputs: what ``pool_features`` returns, and the metadata fields. Output: ``logits``.
    """
    maps = _head_inputs(model)
    dropout = model.get_layer(METADATA_DROPOUT)
    # Cut behind the inputs: Keras would re-home input tensors that two models share, and could not save the first.
    core = keras.Model([*maps.values(), *keras.tree.flatten(dropout.output)], model.output["logits"])
    pooled = {name: keras.Input((tensor.shape[-1],), name=name) for name, tensor in maps.items()}
    fields = {
        name: keras.Input((), dtype=tensor.dtype, name=name)
        for name, tensor in model.input.items()
        if name != "image"
    }
    spread = [_spread(pooled[name], maps[name].shape[1:3]) for name in maps]
    logits = core([*spread, *keras.tree.flatten(dropout(fields))])
    return keras.Model({**pooled, **fields}, {"logits": logits}, name="head")


def _head_inputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Return the backbone's feature maps as they enter the head, by ``pooled_<i>``, finest first."""
    n_maps = len(model.get_layer(BACKBONE).outputs)
    names = {layer.name for layer in model.layers}
    entries = {i: f"dropout_{i}" for i in range(n_maps) if f"dropout_{i}" in names} or {n_maps - 1: "embedding"}
    return {f"pooled_{i}": model.get_layer(name).input for i, name in entries.items()}


def _spread(pooled: keras.KerasTensor, sides: tuple[int, int]) -> keras.KerasTensor:
    cell = keras.layers.Reshape((1, 1, pooled.shape[-1]))(pooled)
    return keras.layers.UpSampling2D(sides)(cell)


@dataclass(frozen=True, slots=True)
class FeatureFeed:
    """Rows as the head sees them: pooled features and metadata."""

    pooled: Pooled
    rows: pd.DataFrame
    recipe: Recipe
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)  # besides the labels, a row for each of ``rows``

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` (from 0) from ``first_batch`` on: (inputs, targets).

        The images come in the order in which they would be drawn from the records.
        """
        labels = self.rows["class_index"].to_numpy(np.int32)
        recipe, size = self.recipe, self.recipe.optimisation.batch_size
        order = epoch_order(labels, power=recipe.imbalance.sampling_power, seed=recipe.seed, epoch=epoch)
        for batch in range(first_batch, len(order) // size):
            here = order[batch * size : (batch + 1) * size]
            inputs = {name: tf.constant(value) for name, value in self.inputs(here).items()}
            further = {name: tf.constant(values[here]) for name, values in self.targets.items()}
            yield inputs, {LABELS: tf.one_hot(labels[here], N_CLASSES), **further}

    def inputs_in_order(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the head's inputs for all rows in their order, a batch at a time: the head spreads them to maps."""
        size = self.recipe.optimisation.batch_size
        for start in range(0, len(self.rows), size):
            yield self.inputs(np.arange(start, min(start + size, len(self.rows))))

    def inputs(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Return the head's inputs for the rows at ``positions``."""
        chosen = {name: values[positions] for name, values in self.pooled.items()}
        return {**chosen, **metadata_inputs(self.rows.iloc[positions])}
