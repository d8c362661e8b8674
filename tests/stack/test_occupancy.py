"""One stack in a folder: the second gets an error that names the first; a killed one is no obstacle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.stack.addresses import Addresses
from deployments.stack.occupancy import hold
from lesion_core.errors import ConfigError
from tests.conftest import ROOT

_HOLDER = """
import subprocess, sys, time
from pathlib import Path
from deployments.stack.addresses import Addresses
from deployments.stack.occupancy import hold

with hold(Path(sys.argv[1])) as held:
    held.tell(Addresses(4201, 7861, 8012))
    if sys.argv[2] != "0":  # what is left of a stack for a while when its starter is killed
        subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[held.descriptor], stdout=subprocess.DEVNULL)
    print("held", flush=True)
    time.sleep(600)
"""


def _holder(home: Path, seconds_left: str = "0") -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(home), seconds_left], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def _kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_second_is_reported_who_is_there(tmp_path: Path) -> None:
    first = _holder(tmp_path)
    try:
        with pytest.raises(ConfigError) as caught, hold(tmp_path):
            pass
    finally:
        _kill(first)
    said = str(caught.value)
    assert str(tmp_path) in said
    assert f"process {first.pid}, since 20" in said
    assert "http://127.0.0.1:4201 (Prefect UI)" in said
    assert "http://127.0.0.1:7861 (page)" in said
    with hold(tmp_path):  # the file of the killed one still names it
        assert f'"pid": {os.getpid()}' in (tmp_path / "stack.lock").read_text()


def test_the_rest_of_a_killed_one_is_waited_for(tmp_path: Path) -> None:
    _kill(_holder(tmp_path, "1.5"))
    began = time.monotonic()
    with hold(tmp_path):
        assert time.monotonic() - began > 0.3


def test_two_folders_and_one_held_twice_by_the_same_process(tmp_path: Path) -> None:
    with hold(tmp_path / "one") as one, hold(tmp_path / "two"), hold(tmp_path / "x" / ".." / "one") as again:
        assert again is one
        one.tell(Addresses(1, 2, 3))
    with hold(tmp_path / "one"):
        pass
