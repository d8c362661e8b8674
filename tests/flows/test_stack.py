"""The local stack leaves nothing behind, however it is told to stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT


def family(parent: int) -> set[int]:
    """Return the pids of a process and of all that it started, directly or not."""
    table = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in table.splitlines()[1:]]
    found, grown = {parent}, True
    while grown:
        more = {pid for pid, above in pairs if above in found} - found
        grown, found = bool(more), found | more
    return found


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from Linux's /proc")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        stack = subprocess.Popen(
            [sys.executable, "-m", "deployments.cli", "up", "--home", str(tmp_path)],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 240
    while "Ctrl-C" not in log.read_text():
        assert stack.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
    pids = family(stack.pid)
    assert len(pids) >= 4  # itself, the server, the worker, the page
    os.kill(stack.pid, number)
    assert stack.wait(timeout=60) == 0, log.read_text()
    assert [pid for pid in pids if is_alive(pid)] == []
