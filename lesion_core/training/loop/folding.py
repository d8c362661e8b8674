"""Frozen normalisation at no cost: folded into the convolution before it while a step is computed.

A BatchNormalization layer that is frozen multiplies and shifts each channel by constants. Done on the kernel
instead of on the feature maps, that is a few thousand products instead of millions, forwards and backwards; on a
processor, whose memory is slow, a step of EfficientNet-Lite0 takes an eighth less time. The layers and their
variables stay as they are: only the step sees the folded form.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from lesion_core.training.loop.layers import normalisations

Pairs = dict[int, tuple[keras.Layer, keras.Layer]]  # convolution and normalisation, by id of the convolution


def folded(model: keras.Model) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what computes ``model(inputs, training=True)`` with its frozen normalisation folded.

    Only what is frozen now is folded, and only behind a linear convolution whose result goes nowhere else.
    """
    pairs = {id(convolution): (convolution, layer) for convolution, layer in _pairs(model)}
    if not pairs:
        return lambda inputs: model(inputs, training=True)
    absorbed = {id(layer) for _, layer in pairs.values()}
    return lambda inputs: _run(model, inputs, pairs, absorbed)


def _pairs(model: keras.Model) -> Iterator[tuple[keras.Layer, keras.Layer]]:
    for layer in normalisations(model):
        source = layer.input._keras_history.operation
        kind = type(source)
        if (
            not layer.trainable
            and kind in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
            and source.activation in (None, keras.activations.linear)
            and layer.axis in (-1, 3)
            and source.data_format == "channels_last"
            and getattr(source, "groups", 1) == 1
            and len(source._outbound_nodes) == 1
        ):
            yield source, layer


def _run(model: keras.Model, inputs: Any, pairs: Pairs, absorbed: set[int]) -> Any:
    def choose(operation: Any) -> Callable[..., Any]:
        if id(operation) in pairs:
            return lambda maps, **_: _convolve(*pairs[id(operation)], maps)
        if id(operation) in absorbed:
            return lambda maps, **_: maps
        if isinstance(operation, keras.Model):
            return lambda maps, **_: _run(operation, maps, pairs, absorbed)
        return _in_training(operation)

    # The same walk that Keras' own functional call takes, with other operations at some of its nodes.
    with keras.name_scope(model.name):
        outputs = model._run_through_graph(inputs, operation_fn=choose)
    return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs


def _in_training(operation: Any) -> Callable[..., Any]:
    if "training" not in inspect.signature(operation.call).parameters:
        return operation
    return lambda *arguments, **options: operation(*arguments, **{**options, "training": True})


def _convolve(convolution: keras.Layer, layer: keras.Layer, maps: Any) -> Any:
    ops, dtype = keras.ops, convolution.compute_dtype
    scale = ops.rsqrt(layer.moving_variance + layer.epsilon)
    if layer.scale:
        scale = scale * layer.gamma
    shift = -layer.moving_mean * scale
    if layer.center:
        shift = shift + layer.beta
    if convolution.use_bias:
        shift = shift + convolution.bias * scale
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    # (h, w, in, out), or (h, w, in, multiplier), where the channels that come out are the last two axes together.
    shape = (*convolution.kernel.shape[2:],) if is_depthwise else (1, convolution.filters)
    kernel = ops.cast(convolution.kernel * ops.reshape(scale, shape), dtype)
    convolve = ops.depthwise_conv if is_depthwise else ops.conv
    options = {"padding": convolution.padding, "data_format": convolution.data_format}
    result = convolve(
        ops.cast(maps, dtype), kernel, convolution.strides, dilation_rate=convolution.dilation_rate, **options
    )
    return ops.add(result, ops.cast(shift, dtype))
