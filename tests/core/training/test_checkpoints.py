"""Checkpoints are whole or not there, whatever happens while one is written."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lesion_core.errors import TrainingError
from lesion_core.training.loop.checkpoints import Checkpoint, read_checkpoint, remove_checkpoints, write_checkpoint


def _checkpoint(step: int, n_values: int = 100) -> Checkpoint:
    return Checkpoint({"step": step, "score": None}, {"model/0": np.full(n_values, step, np.float32)})


def _step(folder: Path) -> int | None:
    found = read_checkpoint(folder)
    return None if found is None else int(found.facts["step"])


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "nothing") is None
    arrays = {"a/0": np.array([np.nan, 1.5], np.float32), "b": np.array(7, np.int64), "c": np.zeros((0, 3))}
    write_checkpoint(tmp_path / "new", Checkpoint({"epoch": 3, "history": [{"loss": 0.25}]}, arrays))
    found = read_checkpoint(tmp_path / "new")
    assert found is not None
    assert found.facts == {"epoch": 3, "history": [{"loss": 0.25}]}
    for name, value in arrays.items():
        assert np.array_equal(found.arrays[name], value, equal_nan=value.dtype.kind == "f")
        assert found.arrays[name].dtype == value.dtype


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        write_checkpoint(tmp_path, _checkpoint(step))
    assert len(list(tmp_path.iterdir())) == 2
    assert _step(tmp_path) == 4
    remove_checkpoints(tmp_path)
    assert not tmp_path.exists()


@pytest.mark.parametrize("kept_share", [0.0, 0.01, 0.5, 0.999])
def test_a_torn_checkpoint_is_passed_over(tmp_path: Path, kept_share: float) -> None:
    write_checkpoint(tmp_path, _checkpoint(1))
    newest = write_checkpoint(tmp_path, _checkpoint(2))
    content = newest.read_bytes()
    newest.write_bytes(content[: int(len(content) * kept_share)])
    assert _step(tmp_path) == 1


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, _checkpoint(1))
    newest = write_checkpoint(tmp_path, _checkpoint(2))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert _step(tmp_path) == 1


def test_an_unfinished_file_of_a_killed_process_is_no_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, _checkpoint(1))
    (tmp_path / "00000002.partial").write_bytes(b"half")
    assert _step(tmp_path) == 1
    write_checkpoint(tmp_path, _checkpoint(2))
    assert _step(tmp_path) == 2


@pytest.fixture
def file_size_limit() -> Iterator[int]:
    """No file of this process may grow beyond this size: a real refusal by the operating system."""
    limit = 200_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_clear_error_and_spares_the_last_good_checkpoint(
    tmp_path: Path, file_size_limit: int
) -> None:
    write_checkpoint(tmp_path, _checkpoint(1))
    with pytest.raises(TrainingError, match="free some space"):
        write_checkpoint(tmp_path, _checkpoint(2, n_values=file_size_limit))
    assert _step(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="LESION_WORK"):
        write_checkpoint(tmp_path / "file" / "checkpoint", _checkpoint(1))
