"""A model whose last convolutions are shuffled: what its maps are compared with, to see that they depend on weights.

Adebayo et al. 2018, "Sanity Checks for Saliency Maps" (arXiv:1810.03292). The values of a layer's kernel are shuffled
within the kernel, so that their distribution stays and only what was learnt is lost. It is done on the ONNX file,
which is what is served; TensorFlow is not needed, the package ``onnx`` is.
"""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from lesion_core.errors import ConfigError
from lesion_core.stores.filesystem import translated

N_LAYERS = 3
_OUTPUTS = frozenset({"evidence", "logits"})  # what maps are made of: the evidence, or how the logits fall
_MODEL_NAME = "model.onnx"


def write_randomised_folder(folder: Path, target: Path, *, n_layers: int = N_LAYERS, seed: int = 7) -> Path:
    """Write what serving reads of a model, the last convolutions of ``model.onnx`` shuffled; return ``target``.

    Args:
        folder: A model's local folder.
        target: Where to; what is there is replaced file by file.
        n_layers: How many convolutions before the map and the logits are shuffled, on every path that leads there:
            an ensemble has a path for each of its networks.
        seed: Same seed, same weights.

    Raises:
        ConfigError: The file has no convolution before map and logits, or none whose kernel is stored in it.
        StoreRefused: ``target`` cannot be written.
    """
    content = onnx.load(folder / _MODEL_NAME)
    shuffle_last_convolutions(content, n_layers=n_layers, seed=seed)
    with translated(target):
        target.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.json"):
            shutil.copyfile(path, target / path.name)
        onnx.save(content, target / _MODEL_NAME)
    return target


def shuffle_last_convolutions(
    content: onnx.ModelProto, *, n_layers: int = N_LAYERS, seed: int = 7
) -> tuple[str, ...]:
    """Shuffle the kernels of the last convolutions within themselves, in place; return the kernels' names.

    Raises:
        ConfigError: As for ``write_randomised_folder``.
    """
    names = _last_kernels(content.graph, n_layers)
    stored = {item.name: item for item in content.graph.initializer}
    found = [name for name in names if name in stored]
    if not found:
        raise ConfigError(
            "expected convolutions with stored kernels in model.onnx, got none; this model cannot be "
            "randomised: leave the check of randomised weights out"
        )
    random = np.random.default_rng(seed)
    for name in sorted(found):
        values = numpy_helper.to_array(stored[name])
        shuffled = random.permutation(values.ravel()).reshape(values.shape)
        stored[name].CopyFrom(numpy_helper.from_array(shuffled, name))
    return tuple(sorted(found))


def _last_kernels(graph: onnx.GraphProto, n_layers: int) -> set[str]:
    """Return the names of the kernels that have fewer than ``n_layers`` convolutions between them and an output."""
    makers = {name: node for node in graph.node for name in node.output}
    kernels: set[str] = set()
    fewest: dict[str, int] = {}
    pending = [(item.name, 0) for item in graph.output if item.name in _OUTPUTS]
    while pending:
        name, n_passed = pending.pop()
        node = makers.get(name)
        if node is None or n_passed >= n_layers or fewest.get(name, n_layers) <= n_passed:
            continue
        fewest[name] = n_passed
        is_convolution = node.op_type == "Conv"
        if is_convolution:
            kernels.add(node.input[1])
        inputs = node.input[:1] if is_convolution else node.input
        pending += [(one, n_passed + is_convolution) for one in inputs]
    return kernels
