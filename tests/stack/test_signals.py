"""The stack's processes end with their starter, however it ends; shown with cheap stand-ins for them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.stack.waiting import wait_for
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="reads process states from Linux's /proc"
)

# Two stand-ins for the stack's processes, one of which has a child, as a worker has flow runs.
_STARTER = """
import sys, time
from pathlib import Path
from deployments.stack.processes import Stack
from deployments.stack.signals import ignore_signals, unwound_by_signals

home = Path(sys.argv[1])
stack = Stack(home, {"PYTHONPATH": f"{home}:{sys.argv[2]}", "HOME": str(home)})
with unwound_by_signals():
    try:
        stack.start("plain", "stand_in", "plain")
        stack.start("parent", "stand_in", sys.argv[3])
        (home / "started").touch()
        time.sleep(600)
    except KeyboardInterrupt:
        print("unwound", flush=True)
    finally:
        ignore_signals()
        stack.stop()
"""
_STAND_IN = """
import os, signal, subprocess, sys, time
from pathlib import Path
role = sys.argv[1]
if role == "deaf":  # to a polite request, and its child is in a session of its own
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if role in ("parent", "deaf"):
    subprocess.Popen([sys.executable, __file__, "child"], start_new_session=role == "deaf")
    role = "parent"
(Path(os.environ["HOME"]) / f"{role}.pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _pids(home: Path) -> list[int]:
    files = [home / f"{role}.pid" for role in ("plain", "parent", "child")]
    assert wait_for(lambda: all(file.exists() and file.read_text() for file in files), seconds=60)
    return [int(file.read_text()) for file in files]


def _start(home: Path, *before: str, role: str = "parent") -> "subprocess.Popen[str]":
    (home / "stand_in.py").write_text(_STAND_IN)
    return subprocess.Popen(
        [*before, sys.executable, "-c", _STARTER, str(home), str(ROOT), role],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_starter_ends_every_process(tmp_path: Path, number: signal.Signals) -> None:
    starter = _start(tmp_path)
    pids = _pids(tmp_path)
    assert all(map(_is_alive, pids))
    os.kill(starter.pid, number)
    output, _ = starter.communicate(timeout=60)
    assert wait_for(lambda: not any(map(_is_alive, pids)), seconds=30)
    if number is not signal.SIGKILL:
        assert (output, starter.returncode) == ("unwound\n", 0)


def test_what_does_not_listen_is_killed_as_well(tmp_path: Path) -> None:
    starter = _start(tmp_path, role="deaf")
    pids = _pids(tmp_path)
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate(timeout=60)
    assert wait_for(lambda: not any(map(_is_alive, pids)), seconds=60)


def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path: Path) -> None:
    starter = _start(tmp_path, "nohup")
    pids = _pids(tmp_path)
    os.kill(starter.pid, signal.SIGHUP)
    time.sleep(1)
    assert starter.poll() is None
    assert all(map(_is_alive, pids))
    os.kill(starter.pid, signal.SIGTERM)
    starter.communicate(timeout=60)
    assert wait_for(lambda: not any(map(_is_alive, pids)), seconds=30)
