"""One optimisation step, one evaluation step: the compiled inside of a training."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from lesion_core.modeling.recipe import Recipe

Inputs = dict[str, tf.Tensor]
Loss = Callable[[Inputs, tf.Tensor], tf.Tensor]  # targets and logits to a scalar


@dataclass(frozen=True, slots=True)
class Trainer:
    """A compiled training step and the optimizer whose state it changes."""

    optimizer: keras.optimizers.Optimizer
    step: Callable[[Inputs, Inputs], tf.Tensor]


def freeze_normalisation(model: keras.Model) -> None:
    """Keep every BatchNormalization layer, nested ones included, on the statistics and scales it has.

    In a short fine-tuning the statistics of small batches cost more than they bring: the step takes a third
    longer, and the moving averages that validation and serving use lag behind.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        elif isinstance(layer, keras.Model):
            freeze_normalisation(layer)


def make_trainer(model: keras.Model, recipe: Recipe, loss: Loss) -> Trainer:
    """Return a trainer for the layers of ``model`` that are trainable now.

    AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); biases and normalisation are not decayed. XLA stays
    off: on CPU it was several times slower.
    """
    optimisation = recipe.optimisation
    optimizer = keras.optimizers.AdamW(
        learning_rate=optimisation.learning_rate,
        weight_decay=optimisation.weight_decay,
        global_clipnorm=optimisation.gradient_clip,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function  # type: ignore[untyped-decorator, unused-ignore]
    def step(inputs: Inputs, targets: Inputs) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(targets, model(inputs, training=True)["logits"])
        optimizer.apply(tape.gradient(value, [variable.value for variable in variables]), variables)
        return value

    return Trainer(optimizer, step)


def make_logits(model: keras.Model) -> Callable[[Iterable[dict[str, np.ndarray]]], np.ndarray]:
    """Return a function from batches of inputs to the logits of all of them, float32 (n, 8)."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator, unused-ignore]
    def infer(inputs: Inputs) -> tf.Tensor:
        return model(inputs, training=False)["logits"]

    def logits(batches: Iterable[dict[str, np.ndarray]]) -> np.ndarray:
        parts = [infer({name: tf.constant(value) for name, value in inputs.items()}).numpy() for inputs in batches]
        return np.concatenate(parts)

    return logits
