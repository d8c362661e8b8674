"""ONNX export: the network as serving runs it, without TensorFlow."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import onnx

_FLOAT32 = "float32"
_MIXED = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")
_BATCH = "batch"


def export_onnx(model: keras.Model, path: Path) -> None:
    """Write a network made by ``build_network`` as ONNX, in float32 and for any batch size.

    Inputs are ``image`` uint8 (n, s, s, 3), ``age_years`` float32 (n,), ``sex_code`` and ``site_code`` int32 (n,):
    all four whatever the head, so a caller feeds every model alike. Outputs are the network's, by name. A model
    trained in mixed precision is exported with the same weights in float32; ``model`` itself is left as it is.
    """
    network = as_float32(model)
    _call_once(network)
    with warnings.catch_warnings():
        # Keras looks for names that NumPy 2 dropped, to lend them to tf2onnx.
        warnings.filterwarnings("ignore", message=r"In the future `np\.\w+`", category=FutureWarning)
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


def _call_once(model: keras.Model) -> None:
    """Run one prediction: Keras refuses to export a model that was never called."""
    model({name: np.zeros((1, *tensor.shape[1:]), tensor.dtype) for name, tensor in model.input.items()})


def _name_batch(path: Path) -> None:
    """Give the free first dimension of every input and output one readable name."""
    content = onnx.load(path)
    for value in (*content.graph.input, *content.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    onnx.save(content, path)
