"""Real model folders with spatial convolutions, some of whose maps are not what they should be."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lesion_core.labels import N_CLASSES
from lesion_core.serving.predictor import Predictor
from tests.core.dataset.snapshots import draw
from tests.model_folders import SIZE_PX, write_model_folder

N_FEATURES = 16
MapOf = Literal["the logits", "noise", "edges", "nothing", "the border"]


def load_model(folder: Path, *, map_of: MapOf = "the logits", seed: int = 7) -> Predictor:
    """Write and load a model of three convolutions whose map shows what its logits are made of, or something else."""
    return Predictor.load(write_convolutional_folder(folder, map_of=map_of, seed=seed))


def write_convolutional_folder(folder: Path, *, map_of: MapOf = "the logits", seed: int = 7) -> Path:
    """Write that model's folder."""
    write_model_folder(folder, fusion="none", temperature=1.0)
    onnx.save(build_graph(map_of, seed), str(folder / "model.onnx"))
    return folder


def build_graph(map_of: MapOf, seed: int) -> onnx.ModelProto:
    """Build the graph: 3 × 3 convolutions down to 8 × 8 cells → 1 × 1 convolution → mean; logits are its mean.

    Kernels have no mean, so that brightness alone is no feature.
    """
    random = np.random.default_rng(seed)
    constants = {
        "kernel_0": _centred(random, N_FEATURES, 3),
        "kernel_1": _centred(random, N_FEATURES, N_FEATURES),
        "kernel_2": random.normal(0, 1.2, (N_CLASSES, N_FEATURES, 1, 1)),
        "full_scale": np.array(32.0),
        "one": np.array(1.0),
        "many": np.array(4e4),
        "ring": np.pad(np.zeros((1, 1, 6, 6)), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=1.0),
        "zero": np.array(0.0),
        "classes": np.linspace(-1, 1, N_CLASSES)[None, :, None, None],
        "no_metadata": np.zeros((1, N_CLASSES)),
    }
    node = helper.make_node
    stride = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    pool = {"kernel_shape": [8, 8], "strides": [8, 8]}
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Div", ["pixels", "full_scale"], ["scaled"]),
        node("Transpose", ["scaled"], ["channels_first"], perm=[0, 3, 1, 2]),
        node("Conv", ["channels_first", "kernel_0"], ["first"], **stride),
        node("Relu", ["first"], ["first_on"]),
        node("Conv", ["first_on", "kernel_1"], ["second"], **stride),
        node("Relu", ["second"], ["second_on"]),
        node("AveragePool", ["second_on"], ["features"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["features", "kernel_2"], ["evidence_first"], kernel_shape=[1, 1]),
        node("ReduceMean", ["evidence_first"], ["image_logits"], axes=[2, 3], keepdims=0),
        node("Add", ["image_logits", "no_metadata"], ["logits"]),
        node("Sub", ["logits", "image_logits"], ["metadata_logits"]),
        node("ReduceMean", ["features"], ["embedding"], axes=[2, 3], keepdims=0),
        node("MaxPool", ["channels_first"], ["brightest"], **pool),
        node("AveragePool", ["channels_first"], ["average"], **pool),
        node("Sub", ["brightest", "average"], ["contrast"]),
        node("ReduceMean", ["contrast"], ["edge"], axes=[1], keepdims=1),
        node("Mul", ["edge", "classes"], ["edges"]),
        node("Mul", ["evidence_first", "many"], ["large"]),
        node("Sin", ["large"], ["noise"]),
        node("Mul", ["evidence_first", "zero"], ["nothing"]),
        node("Mul", ["classes", "ring"], ["border_of_one"]),
        node("Add", ["nothing", "border_of_one"], ["border"]),
        node("Transpose", [_MAPS[map_of]], ["evidence"], perm=[0, 2, 3, 1]),
    ]
    shapes: dict[str, list[str | int]] = {
        "logits": ["n", N_CLASSES],
        "embedding": ["n", N_FEATURES],
        "evidence": ["n", 8, 8, N_CLASSES],
        "metadata_logits": ["n", N_CLASSES],
    }
    graph = helper.make_graph(
        nodes,
        "convolutional",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE_PX, SIZE_PX, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in shapes],
        [numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def images_of(n: int) -> np.ndarray:
    """Return drawn lesions, uint8 (n, s, s, 3)."""
    return np.stack([draw(number, SIZE_PX, SIZE_PX) for number in range(n)])


_MAPS = {
    "the logits": "evidence_first",
    "noise": "noise",
    "edges": "edges",
    "nothing": "nothing",
    "the border": "border",
}


def _centred(random: np.random.Generator, n_out: int, n_in: int) -> np.ndarray:
    values = random.normal(0, 1, (n_out, n_in, 3, 3)) / np.sqrt(9 * n_in)
    return values - values.mean(axis=(2, 3), keepdims=True)
