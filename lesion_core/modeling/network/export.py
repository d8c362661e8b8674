"""ONNX export: the network as serving runs it, without TensorFlow."""

import contextlib
import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import onnx

from lesion_core.errors import TrainingError

_BATCH, _IMAGE = "batch", "image"
_ADDED = "added/"  # before the names within a network that was added
_OPTIMIZER, _PASS = "tf2onnx.optimizer", "Apply %s"  # who says which pass of the conversion begins, and how


def export_onnx(model: keras.Model, path: Path, on_pass: Callable[[str], None] = lambda name: None) -> None:
    """Write a network made by ``build_network`` as ONNX, in float32 and for any batch size.

    Inputs are ``image`` uint8 (n, s, s, 3) and the metadata fields, ``age_years`` float32 (n,), ``sex_code`` int32
    (n,) …: all of them whatever the head, so a caller feeds every model alike. Outputs are the network's, by name.
    ``on_pass`` hears the name of each pass of the conversion as it begins: a large network takes minutes.

    Raises:
        TrainingError: A layer computes in half precision; ``training.devices.as_float32`` makes a network without.
    """
    _require_float32(model)
    _call_once(model)
    with _quiet(), _heard(on_pass), _prompt_collection():
        model.export(str(path), format="onnx", verbose=False)
    _name_batch(path)


def add_network(path: Path, model: keras.Model, on_pass: Callable[[str], None] = lambda name: None) -> None:
    """Add a network of the image alone to the ONNX file at ``path``: its outputs join those that are there.

    It is converted by itself, so the network that is there is not converted again, and it is applied to the image as
    it comes in: once, whatever the views and members of the other.

    Args:
        path: A file from ``export_onnx``; it is replaced.
        model: A network with the input ``image``, as ``export_onnx`` takes it.
        on_pass: As for ``export_onnx``.

    Raises:
        TrainingError: As for ``export_onnx``; or the two do not make one valid file.
    """
    added = path.with_name(f"added-{path.name}")
    try:
        export_onnx(model, added, on_pass)
        joined = _joined(onnx.load(path), onnx.load(added))
    finally:
        added.unlink(missing_ok=True)
    try:
        onnx.checker.check_model(joined, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise TrainingError(f"expected two networks that join in one ONNX file, got: {error}") from error
    onnx.save(joined, path)


def _joined(first: onnx.ModelProto, second: onnx.ModelProto) -> onnx.ModelProto:
    """Return one model with the inputs of the first and the outputs of both; the second sees the first's image."""
    outputs = [value.name for value in second.graph.output]
    second = onnx.compose.add_prefix(second, _ADDED)
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    joined = onnx.compose.merge_models(first, second, io_map=[])
    renamed = {f"{_ADDED}{_IMAGE}": _IMAGE} | {f"{_ADDED}{name}": name for name in outputs}
    for node in joined.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in joined.graph.output:
        value.name = renamed.get(value.name, value.name)
    inputs = [value for value in joined.graph.input if value.name not in renamed]
    del joined.graph.input[:]
    joined.graph.input.extend(inputs)
    return joined


def _require_float32(model: keras.Model) -> None:
    found = {layer.compute_dtype for layer in model._flatten_layers()} & {"bfloat16", "float16"}
    if found:
        raise TrainingError(
            f"expected a network that computes in float32, got one with {', '.join(sorted(found))}; build it anew "
            "in float32 with the same weights (lesion_core.training.devices.as_float32)"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back two alarms that mean nothing here; what was exported is compared with the network afterwards."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    # A simplification that fails (as on MobileNetV3's activations) is skipped, with a traceback as a warning.
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Keras looks for names that NumPy 2 dropped, to lend them to tf2onnx.
            warnings.filterwarnings("ignore", message=r"In the future `np\.\w+`", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)


class _Passes(logging.Handler):
    """Hears tf2onnx say which pass it applies; of the rest, errors are handed to the root's handlers."""

    def __init__(self, on_pass: Callable[[str], None]) -> None:
        super().__init__()
        self._on_pass = on_pass

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == _PASS and isinstance(record.args, tuple):
            self._on_pass(str(record.args[0]))
        elif record.levelno >= logging.ERROR:
            logging.getLogger().handle(record)


@contextlib.contextmanager
def _heard(on_pass: Callable[[str], None]) -> Iterator[None]:
    """Hand on the name of each pass for a while. Where another version words it otherwise, nothing is heard."""
    logger, handler = logging.getLogger(_OPTIMIZER), _Passes(on_pass)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


@contextlib.contextmanager
def _prompt_collection() -> Iterator[None]:
    """Collect garbage early and often: tf2onnx copies the whole graph, weights included, before each of its passes.

    The copies hang in cycles. Python's usual thresholds let about a gigabyte of them pile up, and it waits until a
    quarter of all objects are new, of which TensorFlow has many; set aside, they do not count.
    """
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.collect()
    gc.set_threshold(500, 2, 1)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
        gc.collect()


def _call_once(model: keras.Model) -> None:
    """Run one prediction: Keras refuses to export a model that was never called."""
    model({name: np.zeros((1, *tensor.shape[1:]), tensor.dtype) for name, tensor in model.input.items()})


def _name_batch(path: Path) -> None:
    """Give the free first dimension of every input and output one readable name."""
    content = onnx.load(path)
    for value in (*content.graph.input, *content.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    onnx.save(content, path)
