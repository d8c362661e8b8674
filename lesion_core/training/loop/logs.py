"""What a training writes down as it goes: a row for every step, and TensorBoard's event files.

A checkpoint remembers how long each file was. A training that goes on from it cuts the files to that length first,
so that no step is in them twice, and none is missing.
"""

import csv
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from lesion_core.errors import TrainingError

Position = dict[str, int]  # length in bytes of each file, by its path below the folder

STEPS_FILE = "steps.csv"
EVENTS_FOLDER = "tensorboard"
EVENTS_FILE = f"{EVENTS_FOLDER}/events.out.tfevents.training"  # TensorBoard looks for 'tfevents' in the name
_COLUMNS = ("step", "epoch", "stage", "learning_rate", "loss")
# As ``tf.summary.scalar`` writes it, which wants TensorBoard itself to be installed.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)
_MOST_EVENTS = 1000  # of steps: a curve on a screen has no more points


class Logs:
    """The logs of one training, open for writing from ``position`` on; use as a context manager's value."""

    def __init__(self, folder: Path, n_steps: int, position: Position | None = None) -> None:
        with _translated(folder):
            _rewind(folder, position or {})
            (folder / EVENTS_FOLDER).mkdir(parents=True, exist_ok=True)
            is_new = not (folder / STEPS_FILE).exists()
            self._file = (folder / STEPS_FILE).open("a", encoding="utf-8", newline="")
            self._rows = csv.writer(self._file, lineterminator="\n")
            if is_new:
                self._rows.writerow(_COLUMNS)
            self._events = tf.summary.create_file_writer(str(folder / EVENTS_FOLDER))
        self.folder, self._every = folder, max(1, math.ceil(n_steps / _MOST_EVENTS))

    def step(self, step: int, *, epoch: int, stage: str, learning_rate: float, loss: float) -> None:
        """Write down one step; ``step`` and ``epoch`` count from 1."""
        with _translated(self.folder):
            self._rows.writerow((step, epoch, stage, repr(learning_rate), repr(loss)))
            if step % self._every == 0:
                self._scalars(step, {"step/loss": loss, "step/learning_rate": learning_rate})

    def epoch(self, step: int, row: Mapping[str, float | int | str]) -> None:
        """Write down a row of the history for TensorBoard."""
        scalars = {f"epoch/{name}": value for name, value in row.items() if isinstance(value, float)}
        with _translated(self.folder):
            self._scalars(step, scalars)

    def position(self) -> Position:
        """Bring everything to the disk and return how far the files go."""
        with _translated(self.folder):
            self._file.flush()
            self._events.flush()
            lengths = {}
            for path in _files(self.folder):
                _settle(path)
                lengths[path.relative_to(self.folder).as_posix()] = path.stat().st_size
            return lengths

    def close(self) -> None:
        """Write out the rest and close the files."""
        with _translated(self.folder):
            self._file.close()
            self._events.close()

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        with self._events.as_default(step=step):
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)


def store_logs(folder: Path, target: Path) -> None:
    """Copy finished logs into a model's folder, the event files as one whose name tells no machine or time."""
    if not folder.is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    (target / STEPS_FILE).write_bytes((folder / STEPS_FILE).read_bytes())
    events = target / EVENTS_FILE
    events.parent.mkdir(parents=True, exist_ok=True)
    events.write_bytes(b"".join(path.read_bytes() for path in sorted((folder / EVENTS_FOLDER).iterdir())))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _rewind(folder: Path, position: Position) -> None:
    """Cut every file to the length that ``position`` gives, and remove those that it does not name."""
    for path in _files(folder):
        length = position.get(path.relative_to(folder).as_posix())
        if length is None:
            path.unlink()
        elif path.stat().st_size > length:
            os.truncate(path, length)


def _settle(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise TrainingError(
            f"expected to write the training's logs to {folder}, got: {error}; free some space there or set "
            "LESION_WORK to another disk, and run again: training resumes from the last good checkpoint",
            folder=str(folder),
        ) from error
