"""From recorded pixels to batches: class-balanced, repeatable from any batch on, augmented.

The order of an epoch is a pure function of the labels, the recipe and (seed, epoch), worked out with numpy;
a training that was killed asks for the same epoch from the next batch on and gets the very same images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import tensorflow as tf

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import LesionError
from lesion_core.labels import N_CLASSES
from lesion_core.modeling.augment import N_DRAWS, augment, draw
from lesion_core.modeling.recipe import Recipe

_PREFETCH = 2  # batches made ahead: enough to overlap with the step, too few to matter in memory


def class_counts(class_index: np.ndarray) -> np.ndarray:
    """Return how many images each class has, int64 (8,), for 0-based class indices (n,)."""
    return np.bincount(np.asarray(class_index, np.int64), minlength=N_CLASSES)


def class_quotas(counts: np.ndarray, power: float) -> np.ndarray:
    """Return how often each class is drawn in an epoch of as many draws as there are images.

    A class with n images is drawn in proportion to n^(1 - power): power 0 shows every image once, power 1
    every class equally often. Rounded by largest remainder, so the sum is exact; a class with images is
    drawn at least once.

    Args:
        counts: (8,) images per class, not all 0.
        power: In [0, 1].

    Returns:
        int64 (8,), summing to ``counts.sum()``.
    """
    weights = np.where(counts > 0, np.power(np.maximum(counts, 1).astype(np.float64), 1.0 - power), 0.0)
    exact = counts.sum() * weights / weights.sum()
    quotas = np.floor(exact + 1e-9).astype(np.int64)
    largest_first = np.argsort(-(exact - quotas), kind="stable")
    quotas[largest_first[: counts.sum() - quotas.sum()]] += 1
    return quotas


def seen_prior(class_index: np.ndarray, power: float) -> np.ndarray:
    """Return the shares of the classes as training sees them, after sampling: float64 (8,), sum 1."""
    counts = class_counts(class_index)
    return class_quotas(counts, power) / counts.sum()


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

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; what is left over is not shown in that epoch."""
        return len(self.rows) // self.recipe.optimisation.batch_size

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[tuple[dict[str, tf.Tensor], tf.Tensor]]:
        """Yield the batches of ``epoch`` (from 0) from ``first_batch`` on: (inputs, class index int32 (n,)).

        Records are read and augmented on several threads, and come in the order of the epoch nevertheless.

        Raises:
            ManifestError: Records are missing or cut short.
            ArtifactCorrupt: Records changed since they were written.
        """
        recipe, reader = self.recipe, self._reader(epoch)

        def vary(
            inputs: dict[str, tf.Tensor], labels: tf.Tensor, draws: tf.Tensor
        ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            return {**inputs, "image": augment(inputs["image"], draws, recipe.augmentation)}, labels

        numbers = tf.data.Dataset.range(first_batch, self.steps_per_epoch)
        source = numbers.map(reader.batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        varied = source.map(vary, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        try:
            yield from varied.prefetch(_PREFETCH)
        except tf.errors.OpError:
            if reader.errors:
                raise reader.errors[0] from None  # TensorFlow keeps of it only the text
            raise

    def _reader(self, epoch: int) -> "_Reader":
        recipe = self.recipe
        order = epoch_order(
            self.rows["class_index"].to_numpy(),
            power=recipe.imbalance.sampling_power,
            seed=recipe.seed,
            epoch=epoch,
        )
        rows = self.rows
        return _Reader(
            dataset=self.dataset,
            n=recipe.optimisation.batch_size,
            shards=rows["shard"].to_numpy()[order],
            places=rows["row"].to_numpy()[order],
            metadata={name: values[order] for name, values in metadata_inputs(rows).items()},
            labels=rows["class_index"].to_numpy(np.int32)[order],
            draws=draw(len(order), seed=recipe.seed, epoch=epoch),
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    """One epoch's images in their order, as arrays, so that a batch is a slice of each."""

    dataset: OpenDataset
    n: int
    shards: np.ndarray
    places: np.ndarray
    metadata: dict[str, np.ndarray]
    labels: np.ndarray
    draws: np.ndarray
    errors: list[LesionError] = field(default_factory=list)

    def batch(self, number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Return batch ``number``, int64 (), in TensorFlow's graph: inputs, labels, draws."""
        inputs = _input_signature(self.n, self.dataset.ref.size_px)
        specs = [*inputs.values(), tf.TensorSpec((self.n,), tf.int32), tf.TensorSpec((self.n, N_DRAWS), tf.float32)]
        values = tf.numpy_function(self._read, [number], [spec.dtype for spec in specs])
        for value, spec in zip(values, specs, strict=True):
            value.set_shape(spec.shape)
        return dict(zip(inputs, values, strict=False)), values[-2], values[-1]

    def _read(self, number: np.int64) -> list[np.ndarray]:
        here = slice(int(number) * self.n, (int(number) + 1) * self.n)
        try:
            pixels = self.dataset.records(self.shards[here], self.places[here])
        except LesionError as error:
            self.errors.append(error)
            raise
        return [pixels, *(values[here] for values in self.metadata.values()), self.labels[here], self.draws[here]]


def model_inputs(dataset: OpenDataset, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the network's inputs for ``rows``: raw pixels, years and codes, as the model takes them."""
    return {"image": dataset.pixels(rows), **metadata_inputs(rows)}


def metadata_inputs(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the metadata part of the network's inputs: float32 and int32, (n,) each."""
    return {
        "age_years": rows["age_years"].to_numpy(np.float32),
        "sex_code": rows["sex_code"].to_numpy(np.int32),
        "site_code": rows["site_code"].to_numpy(np.int32),
    }


def evaluation_batches(dataset: OpenDataset, rows: pd.DataFrame, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield the inputs of every row once, in order, without augmentation; the last batch may be smaller."""
    for start in range(0, len(rows), batch_size):
        yield model_inputs(dataset, rows.iloc[start : start + batch_size])


def _input_signature(batch_size: int, size_px: int) -> dict[str, tf.TensorSpec]:
    return {
        "image": tf.TensorSpec((batch_size, size_px, size_px, 3), tf.uint8),
        "age_years": tf.TensorSpec((batch_size,), tf.float32),
        "sex_code": tf.TensorSpec((batch_size,), tf.int32),
        "site_code": tf.TensorSpec((batch_size,), tf.int32),
    }
