"""Layers that ONNX lacks are replaced, and nothing else changes: names, weights, results."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from keras.src.applications import convnext

from lesion_core.modeling.network.applications import APPLICATIONS
from lesion_core.modeling.network.export import export_onnx
from lesion_core.modeling.network.portable import as_portable, exact_gelu
from lesion_core.modeling.network.saved import load_network
from tests.core.modeling.conftest import MakeInputs, MakeNetwork

layers = keras.layers


def _network(*, strides: int = 1, use_bias: bool = True) -> keras.Model:
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Conv2D(8, 3, padding="same", activation="gelu", name="stem")(pixels)
    x = layers.Conv2D(8, 5, strides, padding="same", groups=8, use_bias=use_bias, name="depthwise")(x)
    x = layers.Activation("gelu", name="gelu")(x)
    x = layers.Conv2D(8, 3, padding="same", groups=2, name="grouped")(x)
    network = keras.Model(pixels, layers.Activation("relu", name="relu")(x), name="small")
    generator = np.random.default_rng(3)
    network.set_weights([generator.normal(size=weight.shape) for weight in network.weights])
    return network


@pytest.mark.parametrize(("strides", "use_bias"), [(1, True), (2, False)])
def test_the_results_are_the_same(strides: int, use_bias: bool) -> None:
    theirs = _network(strides=strides, use_bias=use_bias)
    ours = as_portable(theirs)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [weight.shape for weight in ours.get_layer("depthwise").weights] == [(5, 5, 8, 1)] + [(8,)] * use_bias
    assert type(ours.get_layer("grouped")) is layers.Conv2D
    images = np.random.default_rng(4).normal(size=(3, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(ours(images)), np.asarray(theirs(images)), atol=1e-4, rtol=1e-5)


def test_a_network_without_such_layers_is_left_as_it_is() -> None:
    pixels = keras.Input((8, 8, 3))
    network = keras.Model(pixels, layers.DepthwiseConv2D(3, activation="relu")(pixels))
    assert as_portable(network) is network


@pytest.mark.parametrize("value", [-30.0, -1.0, 0.0, 0.5, 30.0])
def test_gelu_is_the_exact_one(value: float) -> None:
    expected = keras.activations.gelu(np.float32(value), approximate=False)
    assert float(exact_gelu(np.float32(value))) == pytest.approx(float(expected), abs=1e-6)


def _narrow_convnext(**options: Any) -> keras.Model:
    """The same layers, one block at each resolution, and few channels."""
    return convnext.ConvNeXt(depths=(1, 1, 1, 1), projection_dims=(8, 16, 32, 64), name="convnext_tiny", **options)


@pytest.mark.parametrize("width", ["narrow", pytest.param("whole", marks=pytest.mark.nightly)])
def test_convnext_is_served_as_it_was_trained(
    make_network: MakeNetwork, make_inputs: MakeInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    if width == "narrow":
        narrow = replace(APPLICATIONS["convnext-tiny"], build=_narrow_convnext)
        monkeypatch.setitem(APPLICATIONS, "convnext-tiny", narrow)
    network = make_network(backbone="convnext-tiny", size_px=32)
    generator = np.random.default_rng(5)
    assert [weight.path for weight in network.weights if "layer_scale" in weight.path]
    for weight in network.weights:
        if "layer_scale" in weight.path:  # begins so small that its block would not be seen in the answer
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    network.save(tmp_path / "model.keras")
    export_onnx(load_network(tmp_path / "model.keras"), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = make_inputs(2, 32)
    found = dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))
    for name, value in network(inputs).items():
        np.testing.assert_allclose(found[name], np.asarray(value), atol=1e-4, rtol=1e-4)
