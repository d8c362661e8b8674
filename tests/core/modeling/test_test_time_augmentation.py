"""Views: their mean is the mean of the views, maps lie where the image does, and everything still adds up."""

import itertools
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from lesion_core.errors import ConfigError
from lesion_core.modeling.network.export import export_onnx
from lesion_core.modeling.network.saved import load_network
from lesion_core.modeling.network.test_time_augmentation import (
    Views,
    with_test_time_augmentation,
    without_test_time_augmentation,
)
from tests.core.modeling.conftest import Inputs, MakeInputs, MakeNetwork

NUMBERS = (4, 8)


def _numpy(outputs: dict[str, object]) -> Inputs:
    return {name: np.asarray(value) for name, value in outputs.items()}


def _by_hand(model: keras.Model, inputs: Inputs, n_views: int) -> Inputs:
    """Turn by quarters and mirror with numpy, ask the network for each, turn its map back."""
    collected: dict[str, list[np.ndarray]] = {}
    for quarters, is_mirrored in itertools.product((0, 2) if n_views == 4 else range(4), (False, True)):
        image = np.rot90(inputs["image"], quarters, (1, 2))
        image = image[:, :, ::-1] if is_mirrored else image
        outputs = _numpy(model({**inputs, "image": np.ascontiguousarray(image)}))
        if "evidence" in outputs:
            back = outputs["evidence"][:, :, ::-1] if is_mirrored else outputs["evidence"]
            outputs["evidence"] = np.rot90(back, -quarters, (1, 2))
        for name, value in outputs.items():
            collected.setdefault(name, []).append(value)
    return {name: np.mean(values, axis=0) for name, values in collected.items()}


@pytest.mark.parametrize(("fusion", "n_views"), [("additive", 4), ("additive", 8), ("metablock", 8), ("concat", 4)])
def test_the_answer_is_the_mean_over_the_views(
    make_network: MakeNetwork, make_inputs: MakeInputs, fusion: str, n_views: int
) -> None:
    model, inputs = make_network(fusion=fusion), make_inputs(3, 64)  # the first patient is unknown in every field
    outputs, expected = _numpy(with_test_time_augmentation(model, n_views)(inputs)), _by_hand(model, inputs, n_views)
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5, err_msg=name)
    assert np.abs(outputs["logits"] - np.asarray(model(inputs)["logits"])).max() > 1e-4  # the views do differ
    if "evidence" in outputs:
        total = outputs["evidence"].mean(axis=(1, 2)) + outputs["metadata_logits"]
        total += outputs.get("interaction_logits", 0)
        np.testing.assert_allclose(total, outputs["logits"], atol=1e-5)


@pytest.mark.parametrize("n_views", NUMBERS)
def test_a_turned_image_gets_the_same_answer_and_a_turned_map(
    make_network: MakeNetwork, make_inputs: MakeInputs, n_views: int
) -> None:
    model, inputs = with_test_time_augmentation(make_network(), n_views), make_inputs(2, 64)
    turned = {**inputs, "image": np.ascontiguousarray(np.rot90(inputs["image"], 2 if n_views == 4 else 1, (1, 2)))}
    first, second = _numpy(model(inputs)), _numpy(model(turned))
    np.testing.assert_allclose(second["logits"], first["logits"], atol=1e-5)
    back = np.rot90(second["evidence"], -2 if n_views == 4 else -1, (1, 2))
    np.testing.assert_allclose(back, first["evidence"], atol=1e-5)


def test_the_views_of_an_image_all_differ_and_stay_bytes(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(2, 8)
    views = _numpy(Views(8)(inputs))
    assert views["image"].dtype == np.uint8
    assert len({image.tobytes() for image in views["image"]}) == 16
    np.testing.assert_array_equal(views["image"][:2], inputs["image"])
    np.testing.assert_array_equal(views["site_code"], np.tile(inputs["site_code"], 8))
    batch = next(iter(tf.data.Dataset.from_tensor_slices(inputs).batch(2).map(Views(8))))
    np.testing.assert_array_equal(batch["image"].numpy(), views["image"])


def test_a_process_that_knows_nothing_of_views_loads_it(make_network: MakeNetwork, saved_path: Path) -> None:
    with_test_time_augmentation(make_network(), 4).save(saved_path)
    code = (
        "import sys, pathlib; from lesion_core.modeling.network.saved import load_network as load; "
        "print(load(pathlib.Path(sys.argv[1])).name)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(saved_path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "lesionflow_in_4_views", done.stderr


def test_it_is_saved_exported_and_taken_apart_again(
    make_network: MakeNetwork, make_inputs: MakeInputs, saved_path: Path, tmp_path: Path
) -> None:
    model = make_network(fusion="film")
    viewed = with_test_time_augmentation(model, 8)
    viewed.save(saved_path)
    loaded = load_network(saved_path)
    export_onnx(loaded, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    assert {item.name: item.type for item in session.get_inputs()}["image"] == "tensor(uint8)"
    for n_images in (1, 3):
        inputs = make_inputs(n_images, 64)
        found = dict(zip(names, session.run(None, inputs), strict=True))
        for name, value in _numpy(viewed(inputs)).items():
            np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
    inner = without_test_time_augmentation(loaded)
    assert inner.get_layer("backbone").name == "backbone"
    for one, other in zip(inner.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        np.asarray(inner(make_inputs(2, 64))["logits"]), np.asarray(model(make_inputs(2, 64))["logits"])
    )


def test_one_view_is_the_network_itself(make_network: MakeNetwork) -> None:
    model = make_network()
    assert with_test_time_augmentation(model, 1) is model
    assert without_test_time_augmentation(model) is model
    with pytest.raises(ConfigError, match="1, 4, 8 views, got 3"):
        with_test_time_augmentation(model, 3)
