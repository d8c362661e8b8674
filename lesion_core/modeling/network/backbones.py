"""Backbones: pixels in, feature maps out, with their own input scaling and ImageNet weights.

Every backbone is one model named ``backbone``: uint8 pixels (n, s, s, 3) to a list of feature maps, finest
first. The finest is chosen so that it has at least 8×8 cells; the coarsest is the network's last.
"""

import warnings
from pathlib import Path

import keras
import numpy as np

from lesion_core.errors import ConfigError
from lesion_core.modeling.network.applications import APPLICATIONS, application_features, build_application
from lesion_core.modeling.network.efficientnet_lite import (
    BATCH_NORM_MOMENTUM,
    lite_features,
    load_imagenet,
    load_torch_file,
)
from lesion_core.modeling.network.portable import as_portable
from lesion_core.modeling.network.resolutions import stages_of

BACKBONE = "backbone"
MIN_CELLS = 8  # along each side of the evidence map
_KERAS_SUFFIXES = (".h5", ".keras")
_TINY_CHANNELS = (16, 32, 64, 96)

Taps = dict[int, keras.KerasTensor]  # feature map by stride


def build_backbone(name: str, size_px: int, weights: str) -> keras.Model:
    """Build the backbone called ``name`` for ``size_px`` × ``size_px`` images.

    Args:
        name: A value of ``recipe.Backbone``.
        size_px: Side of the input in pixels, at least 32.
        weights: 'imagenet', 'none', or the path of a weights file.

    Raises:
        ConfigError: The weights are missing, damaged, or made for another network.
    """
    pixels = keras.Input((size_px, size_px, 3), dtype="uint8", name="pixels")
    if name in APPLICATIONS:
        return keras.Model(pixels, _chosen(_application_taps(name, pixels, weights), size_px), name=BACKBONE)
    taps = _tiny_features(pixels) if name == "tiny" else lite_features(name, pixels)
    model = keras.Model(pixels, _chosen(taps, size_px), name=BACKBONE)
    if weights == "imagenet" and name != "tiny":
        load_imagenet(model, name)
    elif weights.endswith(".pth"):
        load_torch_file(model, Path(weights))
    elif weights != "none":
        _load_keras_file(model, Path(weights), name)
    return model


def backbone_stages(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Return the backbone's layers that have weights, grouped by the resolution they work at, finest first.

    Within a group in the order in which an image passes them. Layers inside nested networks stand for those.

    Args:
        model: A network from ``build_network``, as built or reloaded.
    """
    return stages_of(model.get_layer(BACKBONE))


def _chosen(taps: Taps, size_px: int) -> list[keras.KerasTensor]:
    """Return the coarsest map, the next finer, and as many finer ones as 8×8 cells need."""
    *finer, _ = sorted(taps)
    enough = [stride for stride in finer if taps[stride].shape[1] >= MIN_CELLS]
    if not enough:
        raise ConfigError(f"expected images of at least 32 px, got size_px {size_px}; raise it in the recipe")
    return [taps[stride] for stride in sorted(taps) if stride >= max(enough)]


def _tiny_features(pixels: keras.KerasTensor) -> Taps:
    """Four strided convolutions: small enough to train from scratch on a CPU in minutes."""
    layers = keras.layers
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(pixels)
    taps: Taps = {}
    for step, channels in enumerate(_TINY_CHANNELS, start=1):
        x = layers.Conv2D(channels, 3, 2, padding="same", use_bias=False, name=f"conv_{step}")(x)
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"bn_{step}")(x)
        x = layers.ReLU(name=f"relu_{step}")(x)
        taps[2**step] = x
    return {stride: tap for stride, tap in taps.items() if stride > 2}


def _application_taps(name: str, pixels: keras.KerasTensor, weights: str) -> Taps:
    network = build_application(name, pixels.shape[1], imagenet=weights == "imagenet")
    if weights not in ("imagenet", "none"):
        _load_keras_file(network, Path(weights), name)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return application_features(as_portable(network), name, pixels)


def _load_keras_file(model: keras.Model, path: Path, name: str) -> None:
    if not path.is_file() or path.suffix not in _KERAS_SUFFIXES:
        raise ConfigError(
            f"expected weights 'imagenet', 'none' or the path of a .h5 or .keras file for {name}, got {str(path)!r}"
        )
    # Keras leaves what it finds no values for as it was, with a warning at most; NaN shows what that is.
    model.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in model.weights])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Skipping nested container", category=UserWarning)
        problem = _problem_of_loading(model, path)
    values = zip(model.weights, model.get_weights(), strict=True)
    missing = [weight.path for weight, value in values if np.isnan(value).any()]
    if problem or missing:
        raise ConfigError(
            f"expected weights of {name} ({model.count_params():,} parameters) in {path}, got a file that does not "
            f"fit: {problem or f'no values for {len(missing)} weights, among them {missing[0]}'}"
        )


def _problem_of_loading(model: keras.Model, path: Path) -> str | None:
    try:
        model.load_weights(path)
    except (ValueError, KeyError, OSError, TypeError) as error:
        return str(error)
    return None
