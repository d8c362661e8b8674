"""Resumable checkpoints of a running training: whole, checked, or not there.

A checkpoint is one file: the sha256 of what follows, then a numpy archive. It is written under a temporary
name, flushed to the disk and renamed, and the one before is kept until the next: whatever moment the
process is killed at, the newest whole checkpoint is found again and a torn one never is.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lesion_core.errors import TrainingError
from lesion_core.types import JsonDict

_KEPT = 2
_DIGEST_BYTES = 32
_FACTS = "__facts__"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a training needs to go on: JSON facts (position, scores, history) and named arrays."""

    facts: JsonDict
    arrays: Mapping[str, np.ndarray]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the next checkpoint in ``folder`` and drop all but the last two.

    Raises:
        TrainingError: The disk is full or the folder cannot be written; what was there before stays.
    """
    numbers = _numbers(folder)
    target = folder / f"{(numbers[-1] if numbers else 0) + 1:08d}.checkpoint"
    partial = target.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(partial, _encode(checkpoint))
        partial.rename(target)
        _flush_directory(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TrainingError(
            f"expected to write a training checkpoint to {folder}, got: {error.strerror or error}; free some space "
            "there or set LESION_WORK to another disk, and run again: training resumes from the last good checkpoint",
            folder=str(folder),
        ) from error
    for number in numbers[: -(_KEPT - 1)]:
        (folder / f"{number:08d}.checkpoint").unlink(missing_ok=True)
    return target


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint in ``folder``, or ``None``; a torn one is passed over with a warning."""
    for number in reversed(_numbers(folder)):
        path = folder / f"{number:08d}.checkpoint"
        checkpoint = _decode(path.read_bytes())
        if checkpoint is not None:
            return checkpoint
        log.warning("checkpoint %s does not match its checksum; going back to the one before", path)
    return None


def is_finite(checkpoint: Checkpoint) -> bool:
    """Return whether every number in the checkpoint's arrays is one."""
    return all(np.isfinite(array).all() for array in checkpoint.arrays.values() if array.dtype.kind == "f")


def remove_checkpoints(folder: Path) -> None:
    """Remove ``folder`` and every checkpoint in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.checkpoint") if path.stem.isdigit())


def _encode(checkpoint: Checkpoint) -> bytes:
    buffer = io.BytesIO()
    facts = np.frombuffer(json.dumps(checkpoint.facts).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **{_FACTS: facts, **checkpoint.arrays})
    body = buffer.getvalue()
    return hashlib.sha256(body).digest() + body


def _decode(content: bytes) -> Checkpoint | None:
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return Checkpoint(facts=json.loads(arrays.pop(_FACTS).tobytes()), arrays=arrays)


def _write_whole(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
