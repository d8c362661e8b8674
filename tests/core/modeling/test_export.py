"""model.onnx says what model.keras says, unknowns included, in any batch size."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from lesion_core.modeling.network.export import as_float32, export_onnx
from tests.core.modeling.conftest import Inputs, MakeInputs, MakeNetwork

TYPES = {
    "image": "tensor(uint8)",
    "age_years": "tensor(float)",
    "sex_code": "tensor(int32)",
    "site_code": "tensor(int32)",
}
EXPLAINED = {"logits", "embedding", "evidence", "metadata_logits"}
GATED = EXPLAINED | {"interaction_logits"}
OUTPUTS = {
    "additive": EXPLAINED,
    "none": EXPLAINED,
    "concat": {"logits", "embedding"},
    "film": GATED,
    "metablock": GATED,
}


@pytest.fixture
def onnx_path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def _run(session: onnxruntime.InferenceSession, inputs: Inputs) -> Inputs:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize("fusion", OUTPUTS)
def test_onnx_equals_keras(make_network: MakeNetwork, make_inputs: MakeInputs, onnx_path: Path, fusion: str) -> None:
    model = make_network(fusion=fusion)
    export_onnx(model, onnx_path)
    session = onnxruntime.InferenceSession(onnx_path)
    assert {value.name: value.type for value in session.get_inputs()} == TYPES
    assert {value.shape[0] for value in (*session.get_inputs(), *session.get_outputs())} == {"batch"}
    for n_images in (1, 5):  # the first patient is unknown in every field
        inputs = make_inputs(n_images, 64)
        found = _run(session, inputs)
        assert set(found) == OUTPUTS[fusion]
        for name, value in model(inputs).items():
            np.testing.assert_allclose(found[name], np.asarray(value), atol=1e-5, rtol=1e-5)


def test_onnx_adds_up_where_sides_do_not_divide(
    make_network: MakeNetwork, make_inputs: MakeInputs, onnx_path: Path
) -> None:
    export_onnx(make_network(size_px=100), onnx_path)
    found = _run(onnxruntime.InferenceSession(onnx_path), make_inputs(3, 100))
    total = found["evidence"].mean(axis=(1, 2)) + found["metadata_logits"]
    assert found["evidence"].shape[1:3] == (13, 13)
    np.testing.assert_allclose(total, found["logits"], atol=1e-5)


def test_a_mixed_precision_network_is_exported_in_float32(
    make_network: MakeNetwork, make_inputs: MakeInputs, onnx_path: Path
) -> None:
    single = make_network()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = make_network()
    finally:
        keras.config.set_dtype_policy(policy)
    mixed.set_weights(single.get_weights())
    export_onnx(mixed, onnx_path)
    inputs = make_inputs(3, 64)
    found = _run(onnxruntime.InferenceSession(onnx_path), inputs)
    np.testing.assert_allclose(found["logits"], np.asarray(single(inputs)["logits"]), atol=1e-5, rtol=1e-5)
    convolution = mixed.get_layer("backbone").get_layer("conv_1")
    assert convolution.compute_dtype == "bfloat16"


def test_a_float32_network_is_exported_as_it_is(make_network: MakeNetwork) -> None:
    model = make_network()
    assert as_float32(model) is model
