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

_BATCH = "batch"
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
