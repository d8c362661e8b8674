"""ONNX export: the network as serving runs it, without TensorFlow."""

import contextlib
import gc
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import onnx

_FLOAT32 = "float32"
_MIXED = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")
_BATCH = "batch"
_OPTIMIZER, _PASS = "tf2onnx.optimizer", "Apply %s"  # who says which pass of the conversion begins, and how


def export_onnx(model: keras.Model, path: Path, on_pass: Callable[[str], None] = lambda name: None) -> None:
    """Write a network made by ``build_network`` as ONNX, in float32 and for any batch size.

    Inputs are ``image`` uint8 (n, s, s, 3) and the metadata fields, ``age_years`` float32 (n,), ``sex_code`` int32
    (n,) …: all of them whatever the head, so a caller feeds every model alike. Outputs are the network's, by name. A
    model trained in mixed precision is exported with the same weights in float32; ``model`` itself is left as it is.
    ``on_pass`` hears the name of each pass of the conversion as it begins: a large network takes minutes.
    """
    network = as_float32(model)
    _call_once(network)
    with _quiet(), _heard(on_pass), _prompt_collection():
        network.export(str(path), format="onnx", verbose=False)
    _name_batch(path)


def as_float32(model: keras.Model) -> keras.Model:
    """Return ``model``, or where a layer computes in half precision a float32 copy with the same weights."""
    written = json.dumps(keras.saving.serialize_keras_object(model))
    if not any(json.dumps(name) in written for name in _MIXED):
        return model
    for name in _MIXED:
        written = written.replace(json.dumps(name), json.dumps(_FLOAT32))
    copy = keras.saving.deserialize_keras_object(json.loads(written))
    copy.set_weights(model.get_weights())
    return copy


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
    """Make Python collect garbage early: tf2onnx copies the whole graph before each of its passes.

    Python waits until a quarter of all objects are new, and TensorFlow's are many; set aside, they do not count.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
    try:
        yield
    finally:
        gc.unfreeze()


def _call_once(model: keras.Model) -> None:
    """Run one prediction: Keras refuses to export a model that was never called."""
    model({name: np.zeros((1, *tensor.shape[1:]), tensor.dtype) for name, tensor in model.input.items()})


def _name_batch(path: Path) -> None:
    """Give the free first dimension of every input and output one readable name."""
    content = onnx.load(path)
    for value in (*content.graph.input, *content.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    onnx.save(content, path)
