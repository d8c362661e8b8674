import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lesion_core.errors import ConfigError
from lesion_core.modeling.exported.randomised import shuffle_last_convolutions, write_randomised_folder
from tests.core.evaluation.cases.models import build_graph
from tests.model_folders import write_model_folder


def values_of(content: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in content.graph.initializer}


@pytest.mark.parametrize(("n_layers", "expected"), [(1, {"kernel_2"}), (2, {"kernel_1", "kernel_2"}), (9, None)])
def test_the_last_kernels_are_shuffled_within_themselves_and_nothing_else(
    n_layers: int, expected: set[str] | None
) -> None:
    content = build_graph("the logits", 7)
    before = values_of(content)
    names = shuffle_last_convolutions(content, n_layers=n_layers)
    assert set(names) == (expected or {"kernel_0", "kernel_1", "kernel_2"})
    after = values_of(content)
    onnx.checker.check_model(content)
    for name, values in before.items():
        assert np.array_equal(values, after[name]) == (name not in names)
        np.testing.assert_array_equal(np.sort(values.ravel()), np.sort(after[name].ravel()))


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    found = []
    for seed in (1, 1, 2):
        content = build_graph("the logits", 7)
        shuffle_last_convolutions(content, seed=seed)
        found.append(values_of(content)["kernel_1"])
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def two_paths() -> onnx.ModelProto:
    """Two networks of two convolutions each, whose maps are added up, as in an ensemble."""
    node, kernel = helper.make_node, np.arange(4.0, dtype=np.float32).reshape(2, 2, 1, 1)
    nodes = []
    for member in "ab":
        nodes.append(node("Conv", ["x", f"{member}0"], [f"{member}_first"]))
        nodes.append(node("Conv", [f"{member}_first", f"{member}1"], [f"{member}_map"]))
    nodes.append(node("Add", ["a_map", "b_map"], ["evidence"]))
    shape = ["n", 2, 4, 4]
    graph = helper.make_graph(
        nodes,
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("evidence", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(kernel, f"{member}{layer}") for member in "ab" for layer in range(2)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_every_network_of_an_ensemble_is_shuffled() -> None:
    assert shuffle_last_convolutions(two_paths(), n_layers=1) == ("a1", "b1")
    assert shuffle_last_convolutions(two_paths(), n_layers=2) == ("a0", "a1", "b0", "b1")


def test_a_model_without_convolutions_is_refused() -> None:
    content = two_paths()
    for node in content.graph.node:
        node.op_type = "Add"
    with pytest.raises(ConfigError, match="leave the check"):
        shuffle_last_convolutions(content)


def test_the_folder_is_complete_and_the_model_stays_as_it_is(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    before = (folder / "model.onnx").read_bytes()
    target = write_randomised_folder(folder, tmp_path / "other" / "randomised")
    assert (folder / "model.onnx").read_bytes() == before != (target / "model.onnx").read_bytes()
    assert {path.name for path in target.iterdir()} == {path.name for path in folder.iterdir()}
    for path in target.glob("*.json"):
        assert json.loads(path.read_text()) == json.loads((folder / path.name).read_text())
