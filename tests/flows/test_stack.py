"""The local stack leaves nothing behind, however it ends: no process, and no slot that stays taken."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments import local
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


@contextlib.contextmanager
def prefect_server(home: Path) -> Iterator[httpx.Client]:
    """Run a server with the stack's variables, and end it as a power cut would."""
    addresses = local.Addresses(local.free_port(0), local.free_port(0), local.free_port(0))
    variables = local.environment(home, addresses, archive_url="")
    variables["PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS"] = "1"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", local.HOST]
    with (home / "server.log").open("ab") as log:
        server = subprocess.Popen(
            [*command, "--port", str(addresses.prefect_port)], env=variables, stdout=log, stderr=log
        )
    try:
        with httpx.Client(base_url=f"{addresses.prefect}/api", timeout=30) as client:
            deadline = time.monotonic() + 120
            while not _is_up(client):
                assert time.monotonic() < deadline, (home / "server.log").read_text()
                time.sleep(0.3)
            yield client
    finally:
        server.kill()
        server.wait()


def _is_up(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/health").is_success
    return False


def _ask(client: httpx.Client, method: str, path: str, body: dict[str, object] | None = None) -> httpx.Response:
    """Ask again while the server's database is busy (503), as Prefect's own client does."""
    for _ in range(120):
        response = client.request(method, f"/v2/concurrency_limits/{path}", json=body)
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return response.raise_for_status()
        time.sleep(0.5)
    return response.raise_for_status()


@pytest.mark.slow
def test_a_slot_comes_free_where_its_holder_and_the_server_died(tmp_path: Path) -> None:
    def slots(client: httpx.Client) -> int:
        return int(_ask(client, "GET", "training").json()["active_slots"])

    with prefect_server(tmp_path) as client:
        _ask(client, "POST", "", {"name": "training", "limit": 1})
        taken = {"names": ["training"], "slots": 1, "mode": "concurrency", "lease_duration": 60}
        _ask(client, "POST", "increment-with-lease", taken)
        assert slots(client) == 1

    with prefect_server(tmp_path) as client:
        assert slots(client) == 1  # as a holder that lives and renews would want it
        deadline = time.monotonic() + 120
        while slots(client):
            assert time.monotonic() < deadline, "nobody holds the slot, and it is not given back"
            time.sleep(1)
