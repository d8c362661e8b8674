"""From recorded pixels to batches: class-balanced, repeatable from any batch on, augmented.

The order of an epoch is a pure function of the labels, the recipe and (seed, epoch), worked out with numpy;
a training that was killed asks for the same epoch from the next batch on and gets the very same images.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import LesionError
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import N_CLASSES
from lesion_core.modeling.feed.augment import MIXING_DRAWS, augment, draw
from lesion_core.modeling.feed.losses import LABELS
from lesion_core.modeling.feed.mixing import is_mixing, mix
from lesion_core.recipes.class_shares import class_counts, class_quotas
from lesion_core.recipes.recipe import Recipe

Batch = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]  # inputs and targets, by name

_CLASS_INDEX, _DRAWS = "class_index", "draws"  # what goes with the inputs of a training batch
_PREFETCH = 2  # batches made ahead: enough to overlap with the step, too few to matter in memory


def epoch_order(class_index: np.ndarray, *, power: float, seed: int, epoch: int) -> np.ndarray:
    """Return the positions of the images that one epoch draws, in order: int64 (n,).

    Each class is an endless stream of its shuffled images, and an epoch takes the next quota from it; so
    the images of a class that is drawn less than once per epoch all get their turn equally often.
    """
    class_index = np.asarray(class_index)
    quotas = class_quotas(class_counts(class_index), power)
    drawn = [
        _stream(np.flatnonzero(class_index == label), int(quota), seed, epoch, label)
        for label, quota in enumerate(quotas)
        if quota
    ]
    return np.random.default_rng((seed, epoch, 0)).permutation(np.concatenate(drawn))


def _stream(members: np.ndarray, quota: int, seed: int, epoch: int, label: int) -> np.ndarray:
    start = epoch * quota
    first_lap, last_lap = start // len(members), (start + quota - 1) // len(members)
    laps = [
        np.random.default_rng((seed, lap, 2, label)).permutation(members) for lap in range(first_lap, last_lap + 1)
    ]
    offset = start - first_lap * len(members)
    return np.concatenate(laps)[offset : offset + quota]


@dataclass(frozen=True, slots=True)
class TrainingFeed:
    """The training split as a recipe wants it shown."""

    dataset: OpenDataset
    rows: pd.DataFrame
    recipe: Recipe
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)  # besides the labels, a row for each of ``rows``

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; what is left over is not shown in that epoch."""
        return len(self.rows) // self.recipe.optimisation.batch_size

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` (from 0) from ``first_batch`` on: (inputs, targets).

        Records are read and augmented on several threads, and come in the order of the epoch nevertheless.

        Raises:
            ManifestError: Records are missing or cut short.
            ArtifactCorrupt: Records changed since they were written.
        """
        reader = self._reader(epoch)
        read = reader.batches(first_batch, self.steps_per_epoch)
        yield from reader.delivered(read.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))

    def _batch(self, values: dict[str, tf.Tensor]) -> Batch:
        aside = {_CLASS_INDEX, _DRAWS, *self.targets}
        inputs = {name: value for name, value in values.items() if name not in aside}
        drawn = [values["image"], values[_CLASS_INDEX], values[_DRAWS]]
        image, labels = tf.numpy_function(self.varied, drawn, [tf.uint8, tf.float32])
        image.set_shape(values["image"].shape)
        labels.set_shape((None, N_CLASSES))
        return {**inputs, "image": image}, {LABELS: labels, **{name: values[name] for name in self.targets}}

    def varied(self, images: np.ndarray, class_index: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch as the network sees it: images uint8 (n, s, s, 3), labels float32 (n, k).

        Args:
            images: uint8 (n, s, s, 3), as recorded.
            class_index: int (n,), 0-based.
            draws: float32 (n, ``N_DRAWS``) in [0, 1).
        """
        augmentation = self.recipe.augmentation
        images = augment(images, draws, augmentation)
        labels = np.eye(N_CLASSES, dtype=np.float32)[class_index]
        return (
            mix(images, labels, draws[:, MIXING_DRAWS], augmentation) if is_mixing(augmentation) else (images, labels)
        )

    def _reader(self, epoch: int) -> "_Reader":
        labels = self.rows["class_index"].to_numpy(np.int32)
        recipe = self.recipe
        order = epoch_order(labels, power=recipe.imbalance.sampling_power, seed=recipe.seed, epoch=epoch)
        columns = {name: values[order] for name, values in (metadata_inputs(self.rows) | dict(self.targets)).items()}
        return _Reader(
            dataset=self.dataset,
            size=recipe.optimisation.batch_size,
            shards=self.rows["shard"].to_numpy()[order],
            places=self.rows["row"].to_numpy()[order],
            columns={**columns, _CLASS_INDEX: labels[order], _DRAWS: draw(len(order), seed=recipe.seed, epoch=epoch)},
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Images in the order wanted, as arrays, so that a batch is a slice of each; ``columns`` go with the pixels."""

    dataset: OpenDataset
    size: int
    shards: np.ndarray
    places: np.ndarray
    columns: dict[str, np.ndarray]
    errors: list[LesionError] = field(default_factory=list)

    def batches(self, first: int, end: int) -> tf.data.Dataset:
        """Return batches ``first`` to ``end``: 'image' uint8 (n, s, s, 3) and the columns, by name.

        Several are read at a time, and they come in order.
        """
        numbers = tf.data.Dataset.range(first, end)
        return numbers.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def delivered(self, batches: tf.data.Dataset) -> Iterator[Any]:
        """Yield what was made of the batches; a record that could not be read is raised as itself."""
        try:
            yield from batches.prefetch(_PREFETCH)
        except tf.errors.OpError:
            if self.errors:
                raise self.errors[0] from None  # TensorFlow keeps of it only the text
            raise

    def _batch(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        # The last batch may be smaller, unless there are only whole ones.
        side = self.dataset.ref.size_px
        shapes = {"image": (side, side, 3), **{name: values.shape[1:] for name, values in self.columns.items()}}
        dtypes = [tf.uint8, *(tf.as_dtype(values.dtype) for values in self.columns.values())]
        values = dict(zip(shapes, tf.numpy_function(self._read, [number], dtypes), strict=True))
        for name, shape in shapes.items():
            values[name].set_shape((None, *shape))
        return values

    def _read(self, number: np.int64) -> list[np.ndarray]:
        here = slice(int(number) * self.size, (int(number) + 1) * self.size)
        try:
            pixels = self.dataset.records(self.shards[here], self.places[here])
        except LesionError as error:
            self.errors.append(error)
            raise
        return [pixels, *(values[here] for values in self.columns.values())]


def model_inputs(dataset: OpenDataset, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the network's inputs for ``rows``: raw pixels, years and codes, as the model takes them."""
    return {"image": dataset.pixels(rows), **metadata_inputs(rows)}


def evaluation_batches(dataset: OpenDataset, rows: pd.DataFrame, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield the inputs of every row once, in order, without augmentation; the last batch may be smaller.

    Raises:
        ManifestError: Records are missing or cut short.
        ArtifactCorrupt: Records changed since they were written.
    """
    reader = _Reader(
        dataset, batch_size, rows["shard"].to_numpy(), rows["row"].to_numpy(), columns=metadata_inputs(rows)
    )
    for inputs in reader.delivered(reader.batches(0, math.ceil(len(rows) / batch_size))):
        yield {name: value.numpy() for name, value in inputs.items()}
