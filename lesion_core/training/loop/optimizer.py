"""AdamW as the training step needs it: a rate for each variable, an average of the weights, a loss scale.

Keras' own optimizer gives every variable the same rate and averages without a warm-up, and its update takes two
to three times as long as TensorFlow's fused one, which matters where a step is short or the processor slow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import keras
import tensorflow as tf

from lesion_core.recipes.sections import Optimisation

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
_UNDECAYED = ("bias", "gamma", "beta")  # shrinking them constrains nothing and moves the activations
_FIRST_SCALE = 2.0**15
_STEPS_TO_DOUBLE = 2000


@dataclass(frozen=True, slots=True)
class LossScale:
    """Dynamic loss scaling (Micikevicius et al. 2018, "Mixed Precision Training", arXiv:1710.03740).

    Small gradients vanish in half precision, so the loss is multiplied. A step whose gradients overflow is left
    out and halves the scale; two thousand good ones double it.
    """

    scale: tf.Variable = field(default_factory=lambda: tf.Variable(_FIRST_SCALE, name="loss_scale"))
    n_good: tf.Variable = field(default_factory=lambda: tf.Variable(0, name="good_steps"))

    def update(self, is_finite: tf.Tensor) -> None:
        """Halve or double after a step whose gradients were finite, or not."""
        n_good = tf.where(is_finite, self.n_good + 1, 0)
        is_long = n_good >= _STEPS_TO_DOUBLE
        factor = tf.where(is_finite, tf.where(is_long, 2.0, 1.0), 0.5)
        self.scale.assign(self.scale * factor)
        self.n_good.assign(tf.where(is_long, 0, n_good))


class AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on the variables of one stage.

    Args:
        variables: What trains.
        optimisation: Clip, decay, and the decay of the average.
        shares: Factor on the rate and on the weight decay, by ``id`` of the variable; 1 where none is named.
        averaged: What the average is taken of: the trained variables, and the moving statistics that change with
            them. Empty: no average.
        has_loss_scale: Whether gradients are computed in float16.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        optimisation: Optimisation,
        *,
        shares: Mapping[int, float] | None = None,
        averaged: Sequence[keras.Variable] = (),
        has_loss_scale: bool = False,
    ) -> None:
        self.variables, self.averaged = list(variables), list(averaged)
        self._optimisation = optimisation
        self._shares = [(shares or {}).get(id(variable), 1.0) for variable in self.variables]
        self._n_updates = tf.Variable(0, dtype=tf.int64, name="updates")
        self._first = [_zeros(variable) for variable in self.variables]
        self._second = [_zeros(variable) for variable in self.variables]
        self.averages = [tf.Variable(variable.value.read_value(), trainable=False) for variable in self.averaged]
        self.loss_scale = LossScale() if has_loss_scale else None

    @property
    def state(self) -> list[tf.Variable]:
        """Everything that the next update depends on, in a fixed order."""
        scale = [] if self.loss_scale is None else [self.loss_scale.scale, self.loss_scale.n_good]
        return [self._n_updates, *self._first, *self._second, *self.averages, *scale]

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss as it is to be differentiated."""
        return loss if self.loss_scale is None else loss * self.loss_scale.scale

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        """Move every variable by one step; ``gradients`` are those of ``scaled(loss)``, over all replicas."""
        gradients, is_finite = self._unscaled([tf.cast(gradient, tf.float32) for gradient in gradients])
        gradients = self._clipped(gradients)
        self._n_updates.assign_add(tf.cast(is_finite, tf.int64))
        count = tf.maximum(tf.cast(self._n_updates, tf.float32), 1.0)
        powers = tf.pow(_BETA_1, count), tf.pow(_BETA_2, count)
        # Where a step is left out, these leave the moments and the variables as they are.
        betas = tf.where(is_finite, _BETA_1, 1.0), tf.where(is_finite, _BETA_2, 1.0)
        rate = tf.where(is_finite, rate, 0.0)
        for gradient, *parts in zip(gradients, self.variables, self._first, self._second, self._shares, strict=True):
            self._move(gradient, *parts, rate=rate, powers=powers, betas=betas)
        self._average(count, is_finite)

    def _unscaled(self, gradients: list[tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        if self.loss_scale is None:
            return gradients, tf.constant(True)
        gradients = [gradient / self.loss_scale.scale for gradient in gradients]
        is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        self.loss_scale.update(is_finite)
        return [tf.where(is_finite, gradient, tf.zeros_like(gradient)) for gradient in gradients], is_finite

    def _clipped(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Scale all gradients together to the largest global norm (Pascanu et al. 2013, arXiv:1211.5063)."""
        limit = self._optimisation.gradient_clip
        if limit is None:
            return gradients
        factor = limit / tf.maximum(tf.linalg.global_norm(gradients), limit)
        return [gradient * factor for gradient in gradients]

    def _move(
        self,
        gradient: tf.Tensor,
        variable: keras.Variable,
        first: tf.Variable,
        second: tf.Variable,
        share: float,
        *,
        rate: tf.Tensor,
        powers: tuple[tf.Tensor, tf.Tensor],
        betas: tuple[tf.Tensor, tf.Tensor],
    ) -> None:
        weight, rate = variable.value, rate * share
        if self._optimisation.weight_decay and variable.name not in _UNDECAYED:
            weight.assign_sub(weight * (rate * self._optimisation.weight_decay))
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=rate,
            beta1=betas[0],
            beta2=betas[1],
            epsilon=_EPSILON,
            grad=gradient,
        )

    def _average(self, count: tf.Tensor, is_finite: tf.Tensor) -> None:
        """Let the average follow; early it follows closely, so that it does not remember the first weights.

        The decay at update t is min(decay, (1 + t) / (10 + t)), as in ``tf.train.ExponentialMovingAverage``.
        Averaging: Polyak & Juditsky 1992, doi:10.1137/0330046.
        """
        if not self.averages:
            return
        assert self._optimisation.ema_decay is not None
        decay = tf.minimum(self._optimisation.ema_decay, (1.0 + count) / (10.0 + count))
        step = tf.where(is_finite, 1.0 - decay, 0.0)
        for average, variable in zip(self.averages, self.averaged, strict=True):
            average.assign_sub((average - variable.value) * step)


def _zeros(variable: keras.Variable) -> tf.Variable:
    return tf.Variable(tf.zeros(variable.shape, tf.float32), trainable=False)
