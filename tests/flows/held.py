"""Flows for the tests of the local stack: one that holds the slot of a training, and one that passes through it."""

import sys
from pathlib import Path

from prefect import flow, task

from lesion_core import jobs
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from tasks import publish
from tasks.edge import read_settings
from tasks.policies import RETRY_TRANSIENT, training_slot

# A child as a training's is, that ends with its parent as those do, and does nothing.
CHILD = "from lesion_core.jobs import _end_with_parent; import time; _end_with_parent(); time.sleep(900)"
ELSEWHERE = "http://archive.example/api/v2/"


def ask_archives() -> None:
    """Ask the stack's archive on loopback, and one elsewhere."""
    patience = Patience(attempts=1)
    for url in (read_settings().archive_url, ELSEWHERE):
        with ArchiveClient(url, patience=patience) as client:
            client.count()


@task(name="train-model", task_run_name="train-model {name}", **RETRY_TRANSIENT)
def train(name: str, notes: str, is_long: bool) -> None:
    """Hold the slot until the child ends; note its pid, or that the slot was there."""
    with publish.progress("training-progress", name) as on_progress, training_slot(on_progress):
        if not is_long:
            (Path(notes) / f"{name}.passed").touch()
            return
        with jobs._started([sys.executable, "-c", CHILD], read_settings()) as child:
            (Path(notes) / f"{name}.writing").write_text(str(child.pid))
            (Path(notes) / f"{name}.writing").rename(Path(notes) / f"{name}.pid")
            child.wait()


@flow(name="held")
def held_flow(name: str, notes: str, is_long: bool, asks: bool = False) -> None:
    """Train, as far as the server can tell."""
    if asks:
        ask_archives()
    train(name, notes, is_long)
