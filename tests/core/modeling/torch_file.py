"""Writes Torch's old file format opcode by opcode, so that tests can plant faults in it."""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
KINDS = {np.dtype("float32"): "FloatStorage", np.dtype("int64"): "LongStorage"}


@dataclass(frozen=True)
class Entry:
    """One tensor of a state dict: a view of the storage ``key``."""

    name: str
    key: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


def write_state(
    entries: Sequence[Entry], storages: dict[str, np.ndarray], *, pickles: dict[int, bytes] | None = None
) -> bytes:
    """Return the file; ``pickles`` puts other bytes in the place of one of the five pickles."""
    parts = [pickle.dumps(value, 2) for value in (MAGIC, 1001, {"little_endian": True})]
    parts += [b"\x80\x02" + _state(entries, storages) + b".", pickle.dumps(list(storages), 2)]
    for position, other in (pickles or {}).items():
        parts[position] = other
    return b"".join(parts) + b"".join(_values(values) for values in storages.values())


def _values(values: np.ndarray) -> bytes:
    return len(values).to_bytes(8, "little") + values.tobytes()


def _state(entries: Iterable[Entry], storages: dict[str, np.ndarray]) -> bytes:
    ordered = b"ccollections\nOrderedDict\n)R"
    items = [_body(entry.name) + _tensor(entry, storages[entry.key]) + b"s" for entry in entries]
    return ordered + b"".join(items)


def _tensor(entry: Entry, values: np.ndarray) -> bytes:
    storage = _tuple(
        _body("storage"),
        f"ctorch\n{KINDS[values.dtype]}\n".encode(),
        *map(_body, (entry.key, "cpu", len(values), None)),
    )
    arguments = _tuple(
        storage + b"Q",
        *map(_body, (entry.offset, entry.shape, entry.strides, False)),
        b"ccollections\nOrderedDict\n)R",
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def _body(value: object) -> bytes:
    return pickle.dumps(value, 2)[2:-1]
