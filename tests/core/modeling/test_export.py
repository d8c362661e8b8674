"""model.onnx says what model.keras says, unknowns included, in any batch size."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from lesion_core.errors import TrainingError
from lesion_core.modeling.network.export import export_onnx
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


def test_a_network_in_half_precision_is_refused(make_network: MakeNetwork, onnx_path: Path) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = make_network()
    finally:
        keras.config.set_dtype_policy(policy)
    with pytest.raises(TrainingError, match="float32, got one with bfloat16"):
        export_onnx(mixed, onnx_path)
    assert not onnx_path.exists()
