"""One optimisation step, one evaluation step: the compiled inside of a training."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lesion_core.modeling.feed.input import Batch
from lesion_core.recipes.recipe import Recipe
from lesion_core.training.loop.folding import folded
from lesion_core.training.loop.layers import moving_statistics
from lesion_core.training.loop.optimizer import AdamW

Inputs = dict[str, tf.Tensor]
Loss = Callable[[Inputs, tf.Tensor], tf.Tensor]  # targets and logits to a scalar, the mean over the batch


@dataclass(frozen=True, slots=True)
class Trainer:
    """A compiled training step, and the optimizer whose state it changes.

    ``step(inputs, targets, rate)`` returns the loss, a float32 scalar that is still on the device.
    """

    optimizer: AdamW
    step: Callable[[Inputs, Inputs, float], tf.Tensor]

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the averaged weights in the model for a while, where there is an average; the raw ones train on."""
        raw = [variable.value.read_value() for variable in self.optimizer.averaged]
        _assign(self.optimizer.averaged, [average.read_value() for average in self.optimizer.averages])
        try:
            yield
        finally:
            _assign(self.optimizer.averaged, raw)


def make_trainer(
    model: keras.Model,
    recipe: Recipe,
    loss: Loss,
    *,
    shares: Mapping[int, float] | None = None,
    is_averaged: bool = False,
) -> Trainer:
    """Return a trainer for the layers of ``model`` that are trainable now, on the devices of the strategy in scope.

    Args:
        model: A network, or its head on features; inputs by name to ``logits``.
        recipe: Its optimisation decides rates, clip, precision and compilation.
        loss: Mean over a batch.
        shares: Factor on the rate of variables, by ``id``, as ``layers.rate_shares`` gives it.
        is_averaged: Whether ``ema_decay`` holds for this stage. The moving statistics of BatchNormalization are
            averaged like the weights: they belong to the weights of many steps too, and statistics of the last few
            steps do not fit weights of the last thousand.
    """
    strategy = tf.distribute.get_strategy()
    variables = model.trainable_variables
    statistics, forward = moving_statistics(model), folded(model)
    has_average = is_averaged and recipe.optimisation.ema_decay is not None
    optimizer = AdamW(
        variables,
        recipe.optimisation,
        shares=shares,
        averaged=[*variables, *statistics] if has_average else (),
        has_loss_scale=recipe.optimisation.precision == "float16",
    )

    # Under XLA the gradients are compiled; the update is made of fused operations already.
    @tf.function(jit_compile=recipe.optimisation.xla, autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def differentiate(inputs: Inputs, targets: Inputs, share: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            value = loss(targets, forward(inputs)["logits"]) * share
            scaled = optimizer.scaled(value)
        return value, tape.gradient(scaled, [variable.value for variable in variables])

    def replica(inputs: Inputs, targets: Inputs, share: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        value, gradients = differentiate(inputs, targets, share)
        if strategy.num_replicas_in_sync > 1:
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            _share_statistics(context, statistics)
        optimizer.apply(gradients, rate)
        return value

    @tf.function(autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def step(inputs: Inputs, targets: Inputs, share: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        values = strategy.run(replica, args=(inputs, targets, share, rate))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def run(inputs: Inputs, targets: Inputs, rate: float) -> tf.Tensor:
        return step(*_dealt((inputs, targets), strategy), tf.constant(rate, tf.float32))

    return Trainer(optimizer, run)


def make_logits(model: keras.Model) -> Callable[[Iterable[dict[str, np.ndarray]]], np.ndarray]:
    """Return a function from batches of inputs to the logits of all of them, float32 (n, k)."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator, unused-ignore]
    def infer(inputs: Inputs) -> tf.Tensor:
        return model(inputs, training=False)["logits"]

    def logits(batches: Iterable[dict[str, np.ndarray]]) -> np.ndarray:
        parts = [infer({name: tf.constant(value) for name, value in inputs.items()}).numpy() for inputs in batches]
        return np.concatenate(parts)

    return logits


def _dealt(batch: Batch, strategy: tf.distribute.Strategy) -> tuple[Any, Any, Any]:
    """Return inputs, targets and each replica's share of the batch, whose losses then add up to the batch's mean."""
    inputs, targets = batch
    n_replicas = strategy.num_replicas_in_sync
    if n_replicas == 1:
        return inputs, targets, tf.constant(1.0)
    n_images = len(next(iter(targets.values())))
    ends = [round(n_images * i / n_replicas) for i in range(n_replicas + 1)]

    def deal(context: Any) -> Any:
        i = context.replica_id_in_sync_group
        here = slice(ends[i], ends[i + 1])
        parts = ({name: tensor[here] for name, tensor in tensors.items()} for tensors in (inputs, targets))
        return (*parts, tf.constant((ends[i + 1] - ends[i]) / n_images))

    return strategy.experimental_distribute_values_from_function(deal)


def _share_statistics(context: Any, statistics: list[keras.Variable]) -> None:
    """Give every replica the mean of what their BatchNormalization layers saw."""
    if statistics:
        means = context.all_reduce(
            tf.distribute.ReduceOp.MEAN, [variable.value.read_value() for variable in statistics]
        )
        _assign(statistics, means)


def _assign(variables: list[keras.Variable], values: list[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.value.assign(value)
