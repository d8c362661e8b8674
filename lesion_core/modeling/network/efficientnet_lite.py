"""EfficientNet-Lite 0, 1 and 2, with ImageNet weights as Google published them.

Architecture: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Apache-2.0):
EfficientNet-B0's blocks (Tan & Le 2019, arXiv:1905.11946) without squeeze-and-excite, ReLU6 for swish,
stem and head never widened, the first and last stage never deepened. ImageNet top-1 by its authors: 75.1, 76.7,
77.6 % at 224, 240, 260 px.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from lesion_core.modeling.network.weights import IMAGENET, check_fit, locate, read_torch_legacy

# Keras' default, 0.99, and MobileNetV2's, 0.999, leave the moving statistics behind in a fine-tuning of a few
# thousand steps: training loss falls while validation stays at chance.
BATCH_NORM_MOMENTUM = 0.9
_N_IMAGENET = 1000


@dataclass(frozen=True, slots=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM_CHANNELS, _HEAD_CHANNELS = 32, 1280
_WIDTH_DEPTH = {"efficientnet-lite0": (1.0, 1.0), "efficientnet-lite1": (1.0, 1.1), "efficientnet-lite2": (1.1, 1.2)}


def lite_features(name: str, pixels: keras.KerasTensor) -> dict[int, keras.KerasTensor]:
    """Lay the layers of one of the networks over ``pixels`` (n, h, w, 3), values 0–255.

    Returns the feature maps by stride (4, 8, 16, 32): what enters each halving, widened and activated, and at
    stride 32 the 1280 channels before pooling.
    """
    width, depth = _WIDTH_DEPTH[name]
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="scaling")(pixels)
    stem = keras.layers.Conv2D(_STEM_CHANNELS, 3, 2, padding="same", use_bias=False, name="_conv_stem")
    x = _activated(stem, x, "_bn0")
    taps: dict[int, keras.KerasTensor] = {}
    stride, number = 2, 0
    for index, stage in enumerate(_STAGES):
        is_scaled = 0 < index < len(_STAGES) - 1
        for repeat in range(math.ceil(stage.repeats * depth) if is_scaled else stage.repeats):
            step = stage.stride if repeat == 0 else 1
            x, inner = _block(x, stage, step, _rounded(stage.channels * width), f"_blocks.{number}.")
            if step == 2:
                taps[stride], stride = inner, stride * 2
            number += 1
    head = keras.layers.Conv2D(_HEAD_CHANNELS, 1, use_bias=False, name="_conv_head")
    taps[stride] = _activated(head, x, "_bn1")
    return {stride: tap for stride, tap in taps.items() if stride > 2}


def lite_classifier(name: str, size_px: int) -> keras.Model:
    """Build the whole ImageNet network with its published weights: pixels 0–255 to 1000 logits.

    Used to check the architecture and the weights against known images.

    Raises:
        ConfigError: As for ``load_imagenet``.
    """
    pixels = keras.Input((size_px, size_px, 3), name="pixels")
    pooled = keras.layers.GlobalAveragePooling2D()(lite_features(name, pixels)[32])
    model = keras.Model(pixels, keras.layers.Dense(_N_IMAGENET, name="_fc")(pooled), name=name)
    load_imagenet(model, name)
    return model


def load_imagenet(model: keras.Model, name: str, *, is_part: bool = False) -> None:
    """Fill the layers of ``model`` made by ``lite_features`` with the weights of the locked package.

    Raises:
        ConfigError: The package is missing or damaged, or the weights do not fit.
    """
    load_torch_file(model, locate(IMAGENET[name]), is_part=is_part)


def load_torch_file(model: keras.Model, path: Path, *, is_part: bool = False) -> None:
    """Fill the layers of ``model`` made by ``lite_features`` from a Torch state dict; ``_fc`` may be left over.

    Args:
        model: What is filled.
        path: The file.
        is_part: Whether ``model`` ends before the network's last layer: what the file has for later ones is left.

    Raises:
        ConfigError: The file cannot be read, or its weights do not fit.
    """
    arrays = {key: value for key, value in read_torch_legacy(path).items() if "num_batches" not in key}
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    if is_part:
        arrays = {key: value for key, value in arrays.items() if key.rpartition(".")[0] in layers}
    elif "_fc" not in layers:
        arrays = {key: value for key, value in arrays.items() if not key.startswith("_fc.")}
    names = {name: _torch_names(layer) for name, layer in layers.items()}
    check_fit(
        {key: value.shape for key, value in arrays.items()},
        {key: shape for name, layer in layers.items() for key, shape in _expected(layer, names[name])},
        source=str(path),
    )
    for name, layer in layers.items():
        layer.set_weights([_to_keras(layer, arrays[key]) for key in names[name]])


def _torch_names(layer: keras.layers.Layer) -> list[str]:
    kinds = {
        keras.layers.BatchNormalization: ["weight", "bias", "running_mean", "running_var"],
        keras.layers.Dense: ["weight", "bias"],
    }
    return [f"{layer.name}.{part}" for part in kinds.get(type(layer), ["weight"])]


def _expected(layer: keras.layers.Layer, names: list[str]) -> list[tuple[str, tuple[int, ...]]]:
    axes = _axes(layer)
    shapes = [tuple(weight.shape) for weight in layer.weights]
    return [
        (name, tuple(shape[axis] for axis in np.argsort(axes)) if len(shape) == len(axes) else shape)
        for name, shape in zip(names, shapes, strict=True)
    ]


def _axes(layer: keras.layers.Layer) -> tuple[int, ...]:
    """Order in which Torch's axes stand in Keras' kernel of this layer."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return (2, 3, 0, 1)  # (channels, 1, h, w) to (h, w, channels, 1)
    if isinstance(layer, keras.layers.Conv2D):
        return (2, 3, 1, 0)  # (out, in, h, w) to (h, w, in, out)
    return (1, 0) if isinstance(layer, keras.layers.Dense) else (0,)


def _to_keras(layer: keras.layers.Layer, array: np.ndarray) -> np.ndarray:
    axes = _axes(layer)
    return array.transpose(axes) if array.ndim == len(axes) else array


def _block(
    x: keras.KerasTensor, stage: _Stage, stride: int, channels: int, prefix: str
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Inverted residual (Sandler et al. 2018, arXiv:1801.04381); returns its output and its widened input."""
    inner, layer = x, keras.layers
    if stage.expand > 1:
        expand = layer.Conv2D(x.shape[-1] * stage.expand, 1, use_bias=False, name=f"{prefix}_expand_conv")
        inner = _activated(expand, x, f"{prefix}_bn0")
    depthwise = layer.DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{prefix}_depthwise_conv"
    )
    project = layer.Conv2D(channels, 1, use_bias=False, name=f"{prefix}_project_conv")
    out = _activated(depthwise, inner, f"{prefix}_bn1")
    out = _normalised(project, out, f"{prefix}_bn2")
    if stride == 1 and x.shape[-1] == channels:
        out = layer.Add(name=f"{prefix}add")([out, x])
    return out, inner


def _normalised(layer: keras.layers.Layer, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=1e-3, name=name)(layer(x))


def _activated(layer: keras.layers.Layer, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Apply a convolution, normalise and clip."""
    return keras.layers.ReLU(max_value=6.0, name=f"{name}_relu")(_normalised(layer, x, name))


def _rounded(channels: float) -> int:
    """Round to a multiple of 8, never below 90 %."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near
