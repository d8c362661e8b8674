"""The frozen network is ImageNet's own up to stride 16, and its score is the same in ONNX, once for all views."""

from pathlib import Path

import keras
import numpy as np
import pytest
from skimage import data

from lesion_core.errors import ImageRejected
from lesion_core.images import Preprocessing, preprocess, resize
from lesion_core.modeling.network.efficientnet_lite import lite_features, load_imagenet
from lesion_core.modeling.network.ensemble import as_ensemble, member_name
from lesion_core.modeling.network.export import add_network, export_onnx
from lesion_core.modeling.network.network import build_network
from lesion_core.modeling.network.out_of_distribution import (
    LAYER,
    N_FEATURES,
    features_of,
    frozen_features,
    scorer,
)
from lesion_core.modeling.network.test_time_augmentation import with_test_time_augmentation
from lesion_core.recipes.recipe import Recipe
from lesion_core.serving.predictor import OnnxModel
from lesion_core.statistics.guarantees.out_of_distribution import find_threshold, fit_spread
from lesion_core.synthetic.archive import write_archive
from tests.core.modeling.conftest import MakeInputs

SIDE = 32


def _images(n: int, side: int = SIDE) -> np.ndarray:
    """Return smooth noise: neighbouring pixels resemble each other, as in a photograph."""
    rng = np.random.default_rng(2)
    blocks = rng.integers(0, 256, (n, side // 8, side // 8, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((1, 8, 8, 1), np.uint8))


@pytest.fixture(scope="module")
def frozen() -> keras.Model:
    return frozen_features(SIDE)


@pytest.fixture(scope="module")
def detector(frozen: keras.Model) -> keras.Model:
    spread = fit_spread(features_of(frozen, _images(48)))
    return scorer(frozen, spread.mean, spread.factor)


def test_the_features_are_the_whole_networks_at_stride_16(frozen: keras.Model) -> None:
    pixels = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    whole = keras.Model(pixels, lite_features("efficientnet-lite0", pixels)[32])
    load_imagenet(whole, "efficientnet-lite0")
    tap = keras.Model(pixels, whole.get_layer("_blocks.11._bn0_relu").output)
    expected = np.asarray(tap.predict_on_batch(_images(4))).mean(axis=(1, 2))
    found = features_of(frozen, _images(4))
    assert found.shape == (4, N_FEATURES)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "_conv_head" not in {layer.name for layer in frozen.layers}
    assert frozen.count_params() < whole.count_params() / 3
    assert not frozen.trainable_weights


def test_a_large_image_is_reduced_by_averages(frozen: keras.Model) -> None:
    large = frozen_features(256)
    images = _images(2, 256)
    small = keras.Model(large.input, large.get_layer("reduced").output)
    averages = images.reshape(2, 128, 2, 128, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(np.asarray(small.predict_on_batch({"image": images})), averages, atol=1e-4)
    assert [layer.name for layer in frozen.layers if layer.name == "reduced"] == []


def test_the_score_is_the_distance_of_the_features(frozen: keras.Model, detector: keras.Model) -> None:
    spread = fit_spread(features_of(frozen, _images(48)))
    images = np.random.default_rng(1).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    found = np.asarray(detector.predict_on_batch({"image": images})["ood_score"])
    assert found.shape == (5,)
    np.testing.assert_allclose(found, spread.distances(features_of(frozen, images)), rtol=1e-4)


def test_the_file_of_an_ensemble_in_views_gives_the_score_of_the_image_once(
    make_inputs: MakeInputs, detector: keras.Model, tmp_path: Path
) -> None:
    recipe = Recipe(name="test", backbone="tiny", weights="none", size_px=SIDE)
    members = [build_network(recipe, name=member_name(number, 2)) for number in range(2)]
    path = tmp_path / "model.onnx"
    export_onnx(with_test_time_augmentation(as_ensemble(members), 4), path)
    plain, inputs = OnnxModel(path, threads=1), make_inputs(5, SIDE)
    metadata = {name: value for name, value in inputs.items() if name != "image"}
    before = plain.run(inputs["image"], metadata)
    heard: list[str] = []
    add_network(path, detector, heard.append)
    model = OnnxModel(path, threads=1)
    assert set(model.output_names) == {*plain.output_names, "ood_score"}
    after = model.run(inputs["image"], metadata)
    expected = np.asarray(detector.predict_on_batch({"image": inputs["image"]})["ood_score"])
    np.testing.assert_allclose(after["ood_score"], expected, rtol=1e-4)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-6)
    assert heard, "the conversion says nothing"
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_photographs_are_flagged_and_most_images_like_those_of_training_are_not(tmp_path: Path) -> None:
    write_archive(tmp_path / "archive", n_images=60)
    preprocessing = Preprocessing(size_px=64)
    generated = [_read(path, preprocessing) for path in sorted((tmp_path / "archive").glob("*.jpg"))]
    generated = [pixels for pixels in generated if pixels is not None]
    photographs = [resize(image, preprocessing) for image in (data.astronaut(), data.coffee(), data.chelsea())]
    features = features_of(frozen_features(64), np.stack([*generated, *photographs]))
    spread = fit_spread(features[: len(generated) - 25])  # fewer images than features
    scores = spread.distances(features)[len(generated) - 25 :]
    stated = find_threshold(scores[:25], layer=LAYER, n_fit=spread.n)
    assert stated.threshold is not None
    assert (scores[25:] > stated.threshold).all()
    assert scores[25:].min() > 1.3 * np.median(scores[:25])


def _read(path: Path, preprocessing: Preprocessing) -> np.ndarray | None:
    """Return what the model sees; nothing of the one file that the generator cuts short."""
    try:
        return preprocess(path.read_bytes(), preprocessing, image_id=path.stem)
    except ImageRejected:
        return None
