"""Members: their mean is the mean of their answers, everything still adds up, and they are found again."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from lesion_core.modeling.network.ensemble import as_ensemble, member_name, members_of
from lesion_core.modeling.network.export import export_onnx
from lesion_core.modeling.network.network import build_network
from lesion_core.modeling.network.saved import load_network
from lesion_core.modeling.network.test_time_augmentation import (
    with_test_time_augmentation,
    without_test_time_augmentation,
)
from lesion_core.recipes.recipe import Recipe
from tests.core.modeling.conftest import Inputs, MakeInputs, MakeNetwork


def _make(fusion: str = "additive", n_members: int = 3) -> list[keras.Model]:
    recipe = Recipe(name="test", backbone="tiny", weights="none", size_px=64, fusion=fusion)  # type: ignore[arg-type]
    networks = []
    for number in range(n_members):
        keras.utils.set_random_seed(number)
        networks.append(build_network(recipe, name=member_name(number, n_members)))
        rng = np.random.default_rng(number)
        for weight in networks[-1].trainable_weights:
            weight.assign_add(rng.normal(0, 0.1, weight.shape).astype(np.float32))
    return networks


def _numpy(outputs: dict[str, object]) -> Inputs:
    return {name: np.asarray(value) for name, value in outputs.items()}


@pytest.mark.parametrize("fusion", ["additive", "metablock", "concat"])
def test_the_answer_is_the_mean_over_the_members(make_inputs: MakeInputs, fusion: str) -> None:
    networks, inputs = _make(fusion), make_inputs(3, 64)
    outputs, alone = _numpy(as_ensemble(networks)(inputs)), [_numpy(network(inputs)) for network in networks]
    assert set(outputs) == set(alone[0])
    assert np.abs(alone[0]["logits"] - alone[1]["logits"]).max() > 1e-3  # the members do differ
    np.testing.assert_array_equal(outputs.pop("embedding"), np.hstack([each["embedding"] for each in alone]))
    for name, value in outputs.items():
        np.testing.assert_allclose(value, np.mean([each[name] for each in alone], axis=0), atol=1e-5, err_msg=name)
    if "evidence" in outputs:
        total = outputs["evidence"].mean(axis=(1, 2)) + outputs["metadata_logits"]
        total += outputs.get("interaction_logits", 0)
        np.testing.assert_allclose(total, outputs["logits"], atol=1e-5)


def test_one_network_is_its_own_only_member(make_network: MakeNetwork) -> None:
    model = make_network()
    assert model.name == member_name(0, 1)
    assert as_ensemble([model]) is model
    assert members_of(model) == [model]


@pytest.mark.parametrize("n_views", [1, 4])
def test_they_are_saved_exported_and_taken_apart_again(
    make_inputs: MakeInputs, saved_path: Path, tmp_path: Path, n_views: int
) -> None:
    networks = _make()
    served = with_test_time_augmentation(as_ensemble(networks), n_views)
    served.save(saved_path)
    loaded = load_network(saved_path)
    export_onnx(loaded, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    for n_images in (1, 3):
        inputs = make_inputs(n_images, 64)
        found = dict(zip(names, session.run(None, inputs), strict=True))
        for name, value in _numpy(served(inputs)).items():
            np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
    parts = members_of(without_test_time_augmentation(loaded))
    assert [part.name for part in parts] == ["member_0", "member_1", "member_2"]
    for part, network in zip(parts, networks, strict=True):
        for one, other in zip(part.get_weights(), network.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
