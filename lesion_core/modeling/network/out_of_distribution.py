"""How unlike the training images an image is, seen by a network that no training has changed.

The features are those of EfficientNet-Lite0 with its ImageNet weights, up to stride 16 and averaged over the image:
672 channels, never fine-tuned. A fine-tuned network forgets what tells a lesion from a cat; this one does not. The
score is the Mahalanobis distance to the training images' features (Lee et al. 2018, arXiv:1807.03888), of one normal
distribution for all classes. Mean and precision are fitted by ``statistics.guarantees.out_of_distribution``.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from lesion_core.modeling.network.efficientnet_lite import lite_features, load_imagenet

LAYER = "efficientnet-lite0, ImageNet weights, stride 16, average over the image"
N_FEATURES = 672
SCORE = "ood_score"
_BACKBONE, _STRIDE, _SIDE_PX = "efficientnet-lite0", 16, 128


def frozen_features(size_px: int) -> keras.Model:
    """Build the frozen network: ``image`` uint8 (n, s, s, 3), RGB, to ``features`` float32 (n, 672).

    Images of 192 px and more are first reduced by averaging squares of pixels, to a side of about 128 px: what is
    asked is coarse, and the cost grows with the area.

    Args:
        size_px: Side s of the model's own images.

    Raises:
        ConfigError: The package with the weights is missing or damaged.
    """
    image = keras.Input((size_px, size_px, 3), dtype="uint8", name="image")
    taps = lite_features(_BACKBONE, _reduced(image, size_px))
    features = keras.layers.GlobalAveragePooling2D(name="features")(taps[_STRIDE])
    network = keras.Model({"image": image}, {"features": features}, name="frozen")  # no later block is part of it
    load_imagenet(network, _BACKBONE, is_part=True)
    network.trainable = False
    return network


def features_of(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the features of images, float32 (n, 672).

    Args:
        network: From ``frozen_features``.
        images: uint8 (n, s, s, 3), n at least 1, as the model sees them; all at once in memory.
    """
    return np.asarray(network.predict_on_batch({"image": images})["features"])


def scorer(network: keras.Model, mean: np.ndarray, factor: np.ndarray) -> keras.Model:
    """Return the network from ``image`` uint8 (n, s, s, 3) to ``ood_score`` float32 (n,), at least 0.

    Args:
        network: From ``frozen_features``, whose weights it shares.
        mean: float (672,), of the features of training images.
        factor: float (672, 672), F with F Fᵀ = the precision of the features.
    """
    distance = MahalanobisDistance(name=SCORE, trainable=False)
    score = distance(network.output["features"])
    distance.set_weights([np.asarray(mean, np.float32), np.asarray(factor, np.float32)])
    return keras.Model(network.input, {SCORE: score}, name="out_of_distribution")


@keras.saving.register_keras_serializable(package="lesionflow")
class MahalanobisDistance(keras.layers.Layer):
    """The distance to a mean in units of the spread: float32 (n, d) to (n,).

    Its weights are the mean (d,) and the factor F (d, d) of the precision F Fᵀ: the distance is the length of
    (x - mean) F. Computed in float32, after the mean is taken away.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "dtype": "float32"})

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        side = int(input_shape[-1] or 0)
        self.mean = self.add_weight(name="mean", shape=(side,), initializer="zeros")
        self.factor = self.add_weight(name="factor", shape=(side, side), initializer="identity")

    def call(self, features: Any) -> Any:
        whitened = ops.matmul(features - self.mean, self.factor)
        return ops.sqrt(ops.sum(ops.square(whitened), axis=-1))


def _reduced(image: keras.KerasTensor, size_px: int) -> keras.KerasTensor:
    factor = round(size_px / _SIDE_PX)
    if factor < 2:
        return image
    pixels = keras.layers.Rescaling(1.0, name="pixels")(image)  # to float: averages of bytes are no bytes
    return keras.layers.AveragePooling2D(factor, name="reduced")(pixels)
