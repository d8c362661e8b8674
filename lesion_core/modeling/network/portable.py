"""The same network out of layers that every runtime has: ONNX, and TensorFlow on a processor without XLA.

``keras.applications`` builds ConvNeXt's depthwise convolutions as convolutions in as many groups as channels, which
TensorFlow computes on a processor by XLA only, and its exact GELU with ``erfc``; ONNX has neither.
"""

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="lesionflow")  # type: ignore[untyped-decorator, unused-ignore]
def exact_gelu(x: Any) -> Any:
    """Return x · Φ(x), Φ the standard normal distribution (Hendrycks & Gimpel 2016, arXiv:1606.08415), by ``erf``."""
    return 0.5 * x * (1.0 + ops.erf(x / math.sqrt(2.0)))


def as_portable(network: keras.Model) -> keras.Model:
    """Return a network with the same layer names, weights and results; itself where nothing is to be replaced.

    Replaced are convolutions in as many groups as channels, kernel (k, k, 1, c), by depthwise ones, kernel
    (k, k, c, 1), and the activation ``gelu`` by ``exact_gelu``.
    """
    if not any(_is_depthwise(layer) or _is_gelu(layer) for layer in network.layers):
        return network
    copy = keras.models.clone_model(network, clone_function=_replaced)
    for ours, theirs in zip(copy.layers, network.layers, strict=True):
        values = zip(ours.weights, theirs.get_weights(), strict=True)
        ours.set_weights([value.reshape(weight.shape) for weight, value in values])
    return copy


def _is_depthwise(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Conv2D) and 1 < layer.groups == layer.filters == layer.input.shape[-1]


def _is_gelu(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.gelu


def _replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
    if _is_gelu(layer):
        return keras.layers.Activation(exact_gelu, name=layer.name, dtype=layer.dtype_policy)
    if not _is_depthwise(layer):
        return layer.__class__.from_config(layer.get_config())
    return keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        layer.strides,
        layer.padding,
        dilation_rate=layer.dilation_rate,
        use_bias=layer.use_bias,
        depthwise_initializer=layer.kernel_initializer,
        name=layer.name,
        dtype=layer.dtype_policy,
    )
