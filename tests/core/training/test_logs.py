"""Logs say each step once, whatever was written after the last checkpoint, and are small."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf

from lesion_core.errors import TrainingError
from lesion_core.training.loop.logs import EVENTS_FILE, STEPS_FILE, Logs, Position, store_logs


def _write(folder: Path, steps: range, position: Position | None = None, n_steps: int = 20) -> Position:
    logs = Logs(folder, n_steps, position)
    for step in steps:
        logs.step(step, epoch=1, stage="all", learning_rate=0.1 / step, loss=1.0 / step)
    logs.epoch(steps[-1], {"epoch": 1, "stage": "all", "loss": 0.5})
    reached = logs.position()
    logs.close()
    return reached


def _events(path: Path) -> Iterator[tuple[str, int, float]]:
    for raw in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(raw.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            yield value.tag, event.step, float(tf.make_ndarray(value.tensor))


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    folder, stored = tmp_path / "logs", tmp_path / "model"
    position = _write(folder, range(1, 8))
    assert set(position) == {STEPS_FILE, *(name for name in position if name.startswith("tensorboard/"))}
    _write(folder, range(8, 13), position)  # lost with the process: no checkpoint knows of it
    with (folder / STEPS_FILE).open("a") as file:
        file.write("13,1,al")  # and a row cut short
    _write(folder, range(8, 21), position)
    stored.mkdir()
    store_logs(folder, stored)
    table = pd.read_csv(stored / STEPS_FILE)
    assert table["step"].tolist() == list(range(1, 21))
    assert table["loss"].tolist() == [1.0 / step for step in range(1, 21)]
    losses = [(step, value) for tag, step, value in _events(stored / EVENTS_FILE) if tag == "step/loss"]
    assert losses == [(step, pytest.approx(1.0 / step)) for step in range(1, 21)]
    assert [step for tag, step, _ in _events(stored / EVENTS_FILE) if tag == "epoch/loss"] == [7, 20]
    assert sorted(path.name for path in stored.rglob("*") if path.is_file()) == [Path(EVENTS_FILE).name, STEPS_FILE]


def test_without_a_checkpoint_the_logs_start_again(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 8))
    _write(tmp_path, range(1, 4))
    assert pd.read_csv(tmp_path / STEPS_FILE)["step"].tolist() == [1, 2, 3]


def test_a_long_training_has_at_most_a_thousand_points_of_each_curve(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 2000), n_steps=1999)
    store_logs(tmp_path, tmp_path)
    assert len(pd.read_csv(tmp_path / STEPS_FILE)) == 1999
    steps = [step for tag, step, _ in _events(tmp_path / EVENTS_FILE) if tag == "step/loss"]
    assert steps == list(range(2, 2000, 2))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="free some space"):
        Logs(tmp_path / "file" / "logs", 10)
