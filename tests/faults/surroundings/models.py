"""ONNX Runtime: the machine it runs on, and the file it is given."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx

from lesion_core.errors import ArtifactCorrupt, ConfigError, InputRejected
from lesion_core.labels import Diagnosis
from lesion_core.serving.predictor import Predictor
from lesion_core.types import PatientMetadata
from tests.faults.expected import Refused
from tests.faults.images import noise
from tests.faults.surroundings.case import Place, SurroundingCase, Works
from tests.model_folders import build_graph, write_model_folder

Act = Callable[[Place], None]


def _ask(folder: Path, threads: int = 0) -> None:
    """Load a model and answer for one image, as the page does."""
    answer = Predictor.load(folder, threads=threads).predict_bytes(noise(), PatientMetadata())
    assert abs(sum(item.probability for item in answer.classes) - 1) < 1e-5


def _file(body: bytes) -> Act:
    """Ask a model whose ``model.onnx`` holds these bytes."""

    def act(place: Place) -> None:
        folder = write_model_folder(place.folder / "hand-made" / "model")
        (folder / "model.onnx").write_bytes(body)
        _ask(folder)

    return act


def _graph(change: Callable[[onnx.ModelProto], None]) -> Act:
    """Ask a model whose graph is changed so."""

    def act(place: Place) -> None:
        graph = build_graph(favours=Diagnosis.NV, fusion="additive", seed=1)
        change(graph)
        _file(graph.SerializeToString())(place)

    return act


def _of_a_later_onnx(graph: onnx.ModelProto) -> None:
    graph.ir_version = 99


def _weights_elsewhere(graph: onnx.ModelProto) -> None:
    tensor = next(item for item in graph.graph.initializer if item.name == "kernel")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def _no_numbers(graph: onnx.ModelProto) -> None:
    tensor = next(item for item in graph.graph.initializer if item.name == "bias")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(8, np.nan, np.float32), "bias"))


def _another_input(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].name = "input_1"
    for node in graph.graph.node:
        node.input[:] = ["input_1" if name == "image" else name for name in node.input]


def _one_core_of_many(place: Place) -> None:
    """Load a model on a thread that may use one core: ONNX Runtime then starts no thread for the others."""
    folder = write_model_folder(place.folder / "model")

    def load() -> int:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        before = len(os.listdir("/proc/self/task"))
        model = Predictor.load(folder)
        started = len(os.listdir("/proc/self/task")) - before
        assert model.model_id
        return started

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(load).result() == 0


def _many_threads(place: Place) -> None:
    before = len(os.listdir("/proc/self/task"))
    folder = write_model_folder(place.folder / "model")
    model = Predictor.load(folder, threads=9999)
    assert len(os.listdir("/proc/self/task")) - before < (os.cpu_count() or 1)
    assert model.model_id


def _path_with_umlauts(place: Place) -> None:
    _ask(write_model_folder(place.folder / "Hautklinik Größe 皮膚" / "model"))


MODEL_CASES = (
    SurroundingCase(
        "a container that may use fewer cores than the machine has (cpuset)",
        "microsoft/onnxruntime#8313",
        Works("on the cores it may use, without a thread or an error line for the others"),
        _one_core_of_many,
    ),
    SurroundingCase(
        "LESION_THREADS=9999",
        "C0untFloyd/roop-unleashed#769",
        Works("with as many threads as there are cores"),
        _many_threads,
    ),
    SurroundingCase(
        "a model in a folder with spaces, umlauts and Chinese characters",
        "microsoft/onnxruntime#27724",
        Works("like any other"),
        _path_with_umlauts,
    ),
    SurroundingCase(
        "Git LFS's pointer in place of model.onnx",
        "commaai/commavq#12",
        Refused(ArtifactCorrupt, "Protobuf parsing failed"),
        _file(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
    ),
    SurroundingCase(
        "a model of a later version of ONNX",
        "microsoft/onnxruntime#20559",
        Refused(ConfigError, "Unsupported model IR version: 99"),
        _graph(_of_a_later_onnx),
    ),
    SurroundingCase(
        "a model whose weights lie in another file that was not copied",
        "",
        Refused(ArtifactCorrupt, "External data path"),
        _graph(_weights_elsewhere),
    ),
    SurroundingCase(
        "a model that answers NaN",
        "microsoft/onnxruntime#19851",
        Refused(InputRejected, "no probability can be given"),
        _graph(_no_numbers),
    ),
    SurroundingCase(
        "a model exported with other names of inputs",
        "",
        Refused(ArtifactCorrupt, "expected inputs among image"),
        _graph(_another_input),
    ),
)
