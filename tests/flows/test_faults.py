"""Faults planted in a running pipeline: a killed child, an impossible place."""

import csv
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployments.stack.waiting import wait_for
from lesion_core.refs import ModelRef
from lesion_core.registry.versions import list_models
from lesion_core.stores.folders import read_file
from tests.conftest import ROOT
from tests.flows.conftest import Running
from tests.flows.test_stack import family


def _training_children(parent: int) -> list[int]:
    """Return the pids of training children below ``parent``."""
    table = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 1) for line in table.splitlines()[1:]]
    below = family(parent)
    return [int(pid) for pid, args in rows if int(pid) in below and "lesion_core.jobs train" in args]


RECIPE = {
    "name": "killed",
    "dataset": "synthetic",
    "backbone": "tiny",
    "weights": "none",
    "optimisation": {"epochs": 5, "head_epochs": 0, "batch_size": 8, "checkpoint_seconds": 0.2},
}


@pytest.mark.slow
def test_a_killed_training_child_resumes_from_its_checkpoint(
    running: Running, approved: ModelRef, tmp_path: Path
) -> None:
    path = tmp_path / "killed.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    script = f"from flows.train import train_flow; train_flow(recipe={str(path)!r})"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**running.stack.variables, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as flow:
        checkpoints = running.settings.work
        wait_for(
            lambda: list(checkpoints.rglob("checkpoint*/*")),
            seconds=120,
            is_hopeless=lambda: flow.poll() is not None,
            pause_seconds=0.1,
        )
        assert flow.poll() is None, flow.communicate()[0][-3000:]
        children = _training_children(flow.pid)
        assert len(children) == 1
        os.kill(children[0], signal.SIGKILL)
        output = flow.communicate(timeout=400)[0]
    assert "SIGKILL" in output
    assert flow.returncode == 0, output[-3000:]
    model = next(model for model in list_models(running.store) if model.recipe == "killed")
    epochs = [
        row["epoch"]
        for row in csv.DictReader(io.StringIO(read_file(running.store, model.key, "history.csv").decode()))
    ]
    assert len(epochs) == len(set(epochs))


def test_a_transient_error_is_tried_again_and_any_other_is_not(running: Running, tmp_path: Path) -> None:
    script = f"""
import pathlib
from prefect import flow, task
from lesion_core.errors import ConfigError, StoreUnavailable
from tasks.policies import RETRY_TRANSIENT

def attempt(error):
    with pathlib.Path({str(tmp_path)!r}, error.__name__).open("a") as file:
        file.write("x")
    raise error("planted")

quick = {{**RETRY_TRANSIENT, "retry_delay_seconds": 0, "retry_jitter_factor": None}}
again, once = task(attempt, **quick), task(attempt, **quick)

@flow
def planted():
    again(StoreUnavailable, return_state=True)
    once(ConfigError, return_state=True)

planted(return_state=True)
"""
    outcome = running.python("-c", script, PYTHONPATH=str(ROOT))
    assert (tmp_path / "StoreUnavailable").read_text() == "xxxx", outcome.stderr[-2000:]
    assert (tmp_path / "ConfigError").read_text() == "x"
