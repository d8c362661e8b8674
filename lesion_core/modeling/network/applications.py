"""Backbones from ``keras.applications``: how each wants its pixels, and where its maps are tapped."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from lesion_core.errors import ConfigError
from lesion_core.modeling.network.resolutions import last_maps

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Application:
    """One network, and how it wants 0–255 pixels: ``pixels * scale + offset``."""

    build: Callable[..., keras.Model]
    scale: Any
    offset: Any
    options: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[
        str, ...
    ] = ()  # layers that narrow a map on its way to the next halving: the map before tells more
    has_raw_taps: bool = False  # its finer maps are sums of many blocks, which nothing has brought to one scale yet


def _per_channel(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[list[float], list[float]]:
    return [1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)]


_UNIT = (1 / 127.5, -1.0)  # to [-1, 1]
_IMAGENET = _per_channel((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_RAW: dict[str, Any] = {"include_preprocessing": False}
APPLICATIONS: dict[str, Application] = {
    "mobilenet-v2-0.35": Application(keras.applications.MobileNetV2, *_UNIT, {"alpha": 0.35}),
    "mobilenet-v2": Application(keras.applications.MobileNetV2, *_UNIT),
    "mobilenet-v3-small": Application(keras.applications.MobileNetV3Small, *_UNIT, _RAW),
    "mobilenet-v3-large": Application(keras.applications.MobileNetV3Large, *_UNIT, _RAW),
    "efficientnet-v2-b0": Application(keras.applications.EfficientNetV2B0, *_IMAGENET, _RAW),
    "efficientnet-v2-b1": Application(keras.applications.EfficientNetV2B1, *_IMAGENET, _RAW),
    "efficientnet-v2-b2": Application(keras.applications.EfficientNetV2B2, *_IMAGENET, _RAW),
    "efficientnet-v2-b3": Application(keras.applications.EfficientNetV2B3, *_IMAGENET, _RAW),
    "efficientnet-v2-s": Application(keras.applications.EfficientNetV2S, 1 / 128, -1.0, _RAW),
    "convnext-tiny": Application(keras.applications.ConvNeXtTiny, *_IMAGENET, _RAW, has_raw_taps=True),
    "densenet121": Application(
        keras.applications.DenseNet121, *_IMAGENET, skipped=("pool2_conv", "pool3_conv", "pool4_conv")
    ),
}


def build_application(name: str, size_px: int, *, imagenet: bool) -> keras.Model:
    """Build a network of ``keras.applications`` without its top, for scaled pixels.

    Raises:
        ConfigError: Its weights cannot be downloaded.
    """
    application = APPLICATIONS[name]
    try:
        return application.build(
            input_shape=(size_px, size_px, 3),
            include_top=False,
            weights="imagenet" if imagenet else None,
            **application.options,
        )
    except Exception as error:  # Keras wraps every failed download in a bare Exception
        raise ConfigError(
            f"expected to build {name} for {size_px} px with {'ImageNet' if imagenet else 'no'} weights, got: "
            f"{error}. Without a network, set the recipe's weights to the path of a downloaded file, or choose an "
            "efficientnet-lite backbone"
        ) from error


def application_features(network: keras.Model, name: str, pixels: keras.KerasTensor) -> dict[int, keras.KerasTensor]:
    """Lay ``network`` over ``pixels`` (n, s, s, 3), values 0–255; return its feature maps by stride."""
    application = APPLICATIONS[name]
    taps = last_maps(network, application.skipped)[-len(STRIDES) :]
    features = keras.Model(network.input, [*taps[:-1], network.output], name=name)
    scaled = keras.layers.Rescaling(application.scale, application.offset, name="scaling")(pixels)
    maps = dict(zip(STRIDES, features(scaled), strict=True))
    return {stride: _levelled(tap, stride) for stride, tap in maps.items()} if application.has_raw_taps else maps


def _levelled(tap: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    """Bring a cell's channels to mean 0 and variance 1, as the network's own last layer does for its coarsest map."""
    if stride == STRIDES[-1]:
        return tap
    return keras.layers.LayerNormalization(epsilon=1e-6, center=False, scale=False, name=f"level_{stride}")(tap)
