"""The rebuilt EfficientNet-Lite networks name known images as their authors' do."""

import keras
import numpy as np
import pytest
import skimage.data
import skimage.transform

from lesion_core.errors import ConfigError
from lesion_core.modeling.network.efficientnet_lite import lite_classifier, lite_features, load_torch_file
from lesion_core.modeling.network.weights import IMAGENET, locate

EGYPTIAN_CAT, TABBY, TIGER_CAT, ESPRESSO = 285, 281, 282, 967


def _probs(model: keras.Model, image: np.ndarray) -> np.ndarray:
    size = model.input_shape[1]
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = image[top : top + side, left : left + side]
    small = skimage.transform.resize(square, (size, size), preserve_range=True, anti_aliasing=True)
    logits = model(small[None].astype(np.float32), training=False)
    return np.asarray(keras.ops.softmax(logits))[0]


@pytest.mark.parametrize(
    ("name", "size_px", "n_parameters", "espresso"),
    [
        ("efficientnet-lite0", 224, 4_694_024, 0.94),
        ("efficientnet-lite1", 240, 5_470_344, 0.63),
        ("efficientnet-lite2", 260, 6_150_168, 0.90),
    ],
)
def test_known_images_are_named(name: str, size_px: int, n_parameters: int, espresso: float) -> None:
    model = lite_classifier(name, size_px)
    assert model.count_params() == n_parameters
    cat, cup = _probs(model, skimage.data.chelsea()), _probs(model, skimage.data.coffee())
    assert cat.argmax() == EGYPTIAN_CAT
    assert set(np.argsort(cat)[-3:]) == {EGYPTIAN_CAT, TABBY, TIGER_CAT}
    assert cup.argmax() == ESPRESSO
    assert cup[ESPRESSO] == pytest.approx(espresso, abs=0.05)


def test_weights_of_another_network_are_refused() -> None:
    pixels = keras.Input((64, 64, 3))
    model = keras.Model(pixels, lite_features("efficientnet-lite0", pixels)[32])
    with pytest.raises(ConfigError, match=r"lite1.*has no place"):
        load_torch_file(model, locate(IMAGENET["efficientnet-lite1"]))
