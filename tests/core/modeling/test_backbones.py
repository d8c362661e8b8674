"""Every backbone: maps fine enough to show, Keras' own scaling, weights that fit or are refused."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import h5py
import keras
import numpy as np
import pytest

from lesion_core import modeling
from lesion_core.errors import ConfigError
from lesion_core.modeling.network.applications import APPLICATIONS
from lesion_core.modeling.network.backbones import MIN_CELLS, build_backbone
from lesion_core.modeling.network.resolutions import stages_of
from lesion_core.modeling.network.weights import IMAGENET, locate
from lesion_core.recipes.sections import Backbone

# What each application's own code does to 0–255 pixels; those with a layer for it inside have that layer asked.
_KERAS = keras.applications
PREPROCESSING = {
    "mobilenet-v2": _KERAS.mobilenet_v2.preprocess_input,
    "densenet121": _KERAS.densenet.preprocess_input,
}
BUILT_IN = {
    "mobilenet-v3-small": _KERAS.MobileNetV3Small,
    "efficientnet-v2-b0": _KERAS.EfficientNetV2B0,
    "efficientnet-v2-s": _KERAS.EfficientNetV2S,
    "convnext-tiny": _KERAS.ConvNeXtTiny,
}
SCALES = {"tiny": (-1, 1), "efficientnet-lite0": (-127 / 128, 1), "mobilenet-v2-0.35": (-1, 1)}


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Give the memory of all these networks back to the tests that follow."""
    yield
    _untrained.cache_clear()


def _image(size_px: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, size_px, size_px, 3), dtype=np.uint8)


@functools.cache
def _untrained(name: str) -> keras.Model:
    """A backbone for 64 px that the tests only look at."""
    return build_backbone(name, 64, "none")


def _norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


# Built anew for each of three tests, of the same layers as a smaller one of the family.
_LARGE = ("efficientnet-v2-b2", "efficientnet-v2-b3", "efficientnet-v2-s", "efficientnet-lite2")
_EVERY = [pytest.param(name, marks=[pytest.mark.nightly] if name in _LARGE else []) for name in get_args(Backbone)]


@pytest.mark.parametrize("name", _EVERY)
def test_every_backbone_takes_pixels_and_gives_maps_to_show(name: str) -> None:
    model = _untrained(name)
    sides = [output.shape[1] for output in model.outputs]
    assert model.input.dtype == "uint8"
    assert sides[0] >= MIN_CELLS
    assert sides == sorted(sides, reverse=True)
    assert len(sides) >= 2


@pytest.mark.parametrize("name", _EVERY)
def test_moving_statistics_follow_a_short_fine_tuning(name: str) -> None:
    norms = _norms(_untrained(name))
    assert {layer.momentum for layer in norms} == {0.9} or (name == "convnext-tiny" and not norms)


@pytest.mark.parametrize("name", _EVERY)
def test_layers_are_grouped_by_the_resolution_they_work_at(name: str) -> None:
    model = _untrained(name)
    stages = stages_of(model)
    layers = [layer for stage in stages for layer in stage]
    weights = [id(weight) for layer in layers for weight in layer.weights]
    assert sorted(weights) == sorted(id(weight) for weight in model.weights)  # each once, none forgotten
    sides = [max(_side(layer) for layer in stage) for stage in stages]
    assert sides == sorted(set(sides), reverse=True)
    assert sides[-1] == model.outputs[-1].shape[1]
    assert len(stages) == (4 if name in ("tiny", "convnext-tiny") else 5)


def _side(layer: keras.layers.Layer) -> int:
    shape = layer._inbound_nodes[0].output_tensors[0].shape
    return shape[1] if len(shape) == 4 else 1


@pytest.mark.parametrize(
    ("name", "size_px", "sides"),
    [
        ("tiny", 32, [8, 4, 2]),
        ("tiny", 64, [8, 4]),
        ("tiny", 128, [16, 8]),
        ("mobilenet-v2-0.35", 128, [8, 4]),
        ("mobilenet-v2-0.35", 224, [14, 7]),
        ("mobilenet-v2-0.35", 100, [13, 7, 4]),
        ("convnext-tiny", 100, [12, 6, 3]),
        ("densenet121", 100, [12, 6, 3]),
        ("efficientnet-v2-b0", 36, [9, 5, 3, 2]),
        ("convnext-tiny", 32, [8, 4, 2, 1]),
    ],
)
def test_the_maps_are_the_coarsest_that_are_fine_enough(name: str, size_px: int, sides: list[int]) -> None:
    assert [output.shape[1] for output in build_backbone(name, size_px, "none").outputs] == sides


@pytest.mark.parametrize(("name", "ends"), SCALES.items())
def test_pixels_are_scaled_inside(name: str, ends: tuple[float, float]) -> None:
    scaling = _untrained(name).get_layer("scaling")
    assert np.asarray(scaling(np.array([0, 255], np.uint8))) == pytest.approx(ends)


def _scaled_inside(name: str, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(_untrained(name).get_layer("scaling")(pixels))


@pytest.mark.parametrize("name", PREPROCESSING)
def test_pixels_are_scaled_as_the_application_asks(name: str) -> None:
    expected = PREPROCESSING[name](_image(64).astype(np.float32))
    np.testing.assert_allclose(_scaled_inside(name, _image(64)), expected, atol=1e-5)


@pytest.mark.parametrize("name", BUILT_IN)
def test_pixels_are_scaled_as_the_application_scales_them_itself(name: str) -> None:
    theirs = BUILT_IN[name](input_shape=(32, 32, 3), include_top=False, weights=None)
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    expected = _image(32).astype(np.float32)
    for layer in [layer for layer in theirs.layers if isinstance(layer, kinds)]:
        expected = layer(expected)
    assert np.abs(np.asarray(expected)).max() < 4  # it was scaled at all
    np.testing.assert_allclose(_scaled_inside(name, _image(32)), np.asarray(expected), atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenet-v3-small", "convnext-tiny"])
def test_the_coarsest_map_is_the_applications_own(name: str) -> None:
    ours = _untrained(name)
    theirs = BUILT_IN[name](input_shape=(64, 64, 3), include_top=False, weights=None)
    kept = [weight for weight in theirs.weights if "prestem" not in weight.path]
    for weight, value in zip(kept, ours.get_weights(), strict=True):
        weight.assign(value.reshape(weight.shape))  # (k, k, 1, c) there where a depthwise kernel is (k, k, c, 1) here
    expected = np.asarray(theirs(_image(64).astype(np.float32)))
    np.testing.assert_allclose(np.asarray(ours(_image(64))[-1]), expected, atol=1e-4)


def test_an_image_too_small_for_a_map_is_refused() -> None:
    with pytest.raises(ConfigError, match="size_px 24"):
        build_backbone("tiny", 24, "none")


def test_imagenet_weights_are_in_the_network() -> None:
    model = build_backbone("efficientnet-lite0", 64, "imagenet")
    random = _untrained("efficientnet-lite0")
    assert np.asarray(random.get_layer("_bn0").moving_mean) == pytest.approx(0)
    assert np.abs(np.asarray(model.get_layer("_bn0").moving_mean)).max() > 0.1


def test_a_torch_file_can_be_given_by_path() -> None:
    given = build_backbone("efficientnet-lite0", 64, str(locate(IMAGENET["efficientnet-lite0"])))
    packaged = build_backbone("efficientnet-lite0", 96, "imagenet")
    for one, other in zip(given.get_weights(), packaged.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_tiny_backbone_starts_from_a_saved_one(tmp_path: Path, suffix: str) -> None:
    path, saved = tmp_path / f"backbone{suffix}", build_backbone("tiny", 64, "none")
    saved.save_weights(path) if suffix == ".weights.h5" else saved.save(path)
    for one, other in zip(saved.get_weights(), build_backbone("tiny", 128, str(path)).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def mobilenet_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as ``keras.applications`` offers it for download: the network without its top."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, include_top=False, weights=None).save_weights(
        path
    )
    return path


def test_an_application_takes_its_weights_from_a_path(mobilenet_path: Path) -> None:
    first = build_backbone("mobilenet-v2-0.35", 64, str(mobilenet_path))
    second = build_backbone("mobilenet-v2-0.35", 64, str(mobilenet_path))
    np.testing.assert_array_equal(np.asarray(first(_image(64))[-1]), np.asarray(second(_image(64))[-1]))


@pytest.mark.parametrize("name", ["tiny", "mobilenet-v2", "efficientnet-lite0"])
def test_weights_of_another_network_are_refused(mobilenet_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"expected weights of {name} .* does not fit"):
        build_backbone(name, 64, str(mobilenet_path))


def test_weights_with_a_hole_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "backbone.weights.h5"
    build_backbone("tiny", 64, "none").save_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers/conv2d_2"]
    with pytest.raises(ConfigError, match="does not fit"):
        build_backbone("tiny", 64, str(path))


@pytest.mark.parametrize("weights", ["missing.weights.h5", "weights.bin", "Imagenet"])
def test_weights_that_are_nowhere_are_refused(weights: str) -> None:
    with pytest.raises(ConfigError, match=f"expected weights 'imagenet', 'none' or the path .* got '{weights}'"):
        build_backbone("tiny", 64, weights)


def test_a_download_that_fails_says_what_else_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**options: object) -> keras.Model:
        raise Exception("URL fetch failure")

    broken = replace(APPLICATIONS["mobilenet-v2"], build=unreachable)
    monkeypatch.setitem(APPLICATIONS, "mobilenet-v2", broken)
    with pytest.raises(ConfigError, match=r"URL fetch failure.*path of a downloaded file"):
        build_backbone("mobilenet-v2", 64, "imagenet")


@pytest.mark.parametrize(
    "module",
    [
        "network/applications",
        "network/backbones",
        "network/efficientnet_lite",
        "network/fusion",
        "network/gates",
        "feed/losses",
        "network/resolutions",
        "network/metadata",
        "network/network",
        "network/architecture",
        "network/weights",
    ],
)
def test_the_network_needs_no_particular_keras_backend(module: str) -> None:
    tree = ast.parse((Path(modeling.__file__).parent / f"{module}.py").read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.split(".")[0] in ("tensorflow", "torch", "jax")}
