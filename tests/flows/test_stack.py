"""A local stack in a hostile shell, killed and stopped in the middle of its work: what is left of it and its runs.

Cheap stand-ins show in tests/stack what signals do to processes; this is one real stack, started twice.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.stack.leftovers import GONE, STOPPED
from deployments.stack.waiting import wait_for
from tests.conftest import ROOT
from tests.flows.held import ELSEWHERE
from tests.proxies import Proxy, running_proxy
from tests.servers import postgres_folder, running_postgres

_LEASE_SECONDS = 300  # of a slot, by Prefect: how long a run would wait for one that is gone


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


def expect(what: str, condition: Callable[[], Any], seconds: float = 240) -> Any:
    """Return the first true answer; fail where none came in time."""
    answer = wait_for(condition, seconds=seconds)
    assert answer, f"{what} did not come about within {seconds:g} s"
    return answer


@dataclass
class Shell:
    """A user's shell, and the folder in which ``lesion up`` is started from it."""

    folder: Path
    variables: dict[str, str]
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The stack's folder."""
        return self.folder / "home"

    @property
    def notes(self) -> Path:
        """Where flows note what they did."""
        return self.folder

    def up(self) -> "subprocess.Popen[bytes]":
        """Start ``lesion up``."""
        with (self.folder / "up.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments.cli", "up", "--home", str(self.home), "--archive", "archive"],
                cwd=self.folder,
                env=self.variables,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def said(self) -> str:
        """What it has said until now."""
        return (self.folder / "up.log").read_text()

    def wait_until_up(self, process: "subprocess.Popen[bytes]") -> httpx.Client:
        """Wait for the stack, and return a client of its Prefect server."""

        def is_up() -> bool:
            assert process.poll() is None, self.said()
            return "Ctrl-C" in self.said()

        expect("the stack", is_up, 800)
        address = json.loads((self.home / "stack.lock").read_text())["prefect"]
        return httpx.Client(base_url=f"{address}/api", timeout=60, trust_env=False)


def _foreign(database: str, proxy: Proxy, folder: Path) -> dict[str, str]:
    """A shell made for another Prefect server, behind a proxy, with certificates that are gone."""
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder}/foreign.db",
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_SERVER_API_AUTH_STRING": "user:secret",
        "PREFECT_API_AUTH_STRING": "user:secret",
        "PREFECT_API_KEY": "pnu_secret",
        "PREFECT_PROFILE": "another",
        "PREFECT_SERVER_API_BASE_PATH": "/elsewhere",
        "PREFECT_LOGGING_SETTINGS_PATH": f"{folder}/none.yml",
        "PREFECT_SERVER_UI_ENABLED": "not a value",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "SSL_CERT_FILE": f"{folder}/none.pem",
        "NO_PROXY": "clinic.example",
        **proxy.variables(),
    }


def _plant_files(folder: Path) -> None:
    """Prefect reads these where it is started, and those of a user's own folder."""
    database = f"sqlite+aiosqlite:///{folder}/foreign.db"
    (folder / ".env").write_text(f"PREFECT_SERVER_DATABASE_CONNECTION_URL={database}\nPREFECT_API_KEY=pnu_file\n")
    (folder / "prefect.toml").write_text(f'[server.database]\nconnection_url = "{database}"\n')
    (folder / "pyproject.toml").write_text('[tool.prefect.server.api]\nauth_string = "user:secret"\n')
    profiles = folder / "user" / ".prefect" / "profiles.toml"
    profiles.parent.mkdir(parents=True)
    profiles.write_text('active = "mine"\n[profiles.mine]\nPREFECT_API_KEY = "pnu_profile"\n')


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with running_proxy() as proxy:
        proxy.answer = json.dumps({"count": 3, "next": None, "previous": None, "results": []}).encode()
        yield proxy


@pytest.fixture(scope="module")
def foreign_database() -> Iterator[str]:
    """The address of a user's own database: Postgres where there is one."""
    programs = postgres_folder()
    with running_postgres(programs) if programs else contextlib.nullcontext("") as address:
        yield address


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, proxy: Proxy, foreign_database: str) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "archive").mkdir()
    (folder / "archive" / "metadata.csv").write_text("isic_id\nISIC_0000001\n")
    (folder / "archive" / "ISIC_0000001.jpg").touch()  # listed, and never opened
    _plant_files(folder)
    foreign = foreign_database.replace("+psycopg", "+asyncpg") or f"sqlite+aiosqlite:///{folder}/foreign.db"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "LESION_"))}
    shell = Shell(
        folder, {**kept, "HOME": str(folder / "user"), "PYTHONPATH": str(ROOT), **_foreign(foreign, proxy, folder)}
    )
    yield shell
    for process in shell.started:
        for pid in family(process.pid) if process.poll() is None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def ask(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """POST, again while the server's database is busy (503), as Prefect's own client does."""
    for _ in range(240):
        answer = client.post(path, json=body)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(0.5)
    return answer.raise_for_status().json()


def _deploy(client: httpx.Client, name: str) -> uuid.UUID:
    """Deploy the flow of tests/flows/held.py under a name, one run at a time."""
    flow = ask(client, "/flows/", {"name": "held"})["id"]
    deployment = {
        "name": name,
        "flow_id": flow,
        "entrypoint": "tests.flows.held.held_flow",
        "work_pool_name": "lesion",
        "concurrency_limit": 1,
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}],
    }
    return uuid.UUID(ask(client, "/deployments/", deployment)["id"])


def _run(client: httpx.Client, shell: Shell, deployment: uuid.UUID, name: str, **parameters: bool) -> str:
    body = {"name": name, "parameters": {"name": name, "notes": str(shell.notes), **parameters}}
    return str(ask(client, f"/deployments/{deployment}/create_flow_run", body)["id"])


def _task_runs(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    return list(ask(client, "/task_runs/filter", {"task_runs": {"name": {"any_": [name]}}}))


def _child(shell: Shell, name: str) -> int:
    """Return the pid of a run's training child, once it has one."""
    note = shell.notes / f"{name}.pid"
    expect(f"the training of {name}", note.exists)
    return int(note.read_text())


def _states(shell: Shell, kind: str) -> dict[str, tuple[str, str]]:
    """Return state and message of every flow or task run, by name, from the database of a stack that is down."""
    by_hand = "where run.auto_scheduled = 0" if kind == "flow_run" else ""
    with contextlib.closing(sqlite3.connect(shell.home / "prefect" / "prefect.db")) as database:
        rows = database.execute(
            f"select run.name, run.state_name, state.message from {kind} run "
            f"join {kind}_state state on state.id = run.state_id {by_hand}"
        )
        return {name: (state, message) for name, state, message in rows}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from Linux's /proc")
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_stack_in_a_hostile_shell(shell: Shell, proxy: Proxy, foreign_database: str) -> None:
    first = shell.up()
    with shell.wait_until_up(first) as client:
        _what_the_shell_says_is_left_aside(shell, client, foreign_database)
        _a_second_stack_is_refused(shell, first)
        deployment = _deploy(client, "first")
        _run(client, shell, deployment, "killed", is_long=True, asks=True)
        child = _child(shell, "killed")
        expect("its task's record", lambda: _task_runs(client, "train-model killed"))
    assert set(proxy.requests) == {f"GET {ELSEWHERE}images/search/?limit=1"}
    pids = family(first.pid)
    assert len(pids) >= 6  # itself, server, worker, mirror, page, the flow run and its training
    for pid in pids - {child}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    first.wait()
    expect("the end of the training", lambda: not is_alive(child))

    second = shell.up()
    with shell.wait_until_up(second) as client:
        _the_killed_run_has_crashed(client)
        _the_next_run_begins_at_once(shell, client, deployment)
        _a_run_that_waits_says_for_whom(shell, client)
        child = _child(shell, "holding")
    pids = family(second.pid)
    os.kill(second.pid, signal.SIGHUP)  # the terminal is closed
    second.wait(timeout=300)
    assert [pid for pid in {*pids, child} if is_alive(pid)] == []
    for kind, name in (("flow_run", "holding"), ("flow_run", "waiting"), ("task_run", "train-model holding")):
        assert _states(shell, kind)[name] == ("Cancelled", STOPPED)
    assert set(_states(shell, "flow_run")) == {"killed", "next", "holding", "waiting"}
    assert all(request.startswith(f"GET {ELSEWHERE}") for request in proxy.requests)
    assert not list(shell.folder.glob("foreign.db*"))


def _what_the_shell_says_is_left_aside(shell: Shell, client: httpx.Client, foreign_database: str) -> None:
    said = shell.said()
    (line,) = [line for line in said.splitlines() if line.startswith("Ignored, since the local stack has its own")]
    named = set(line.partition(": ")[2].split(", "))
    assert named == {name for name in shell.variables if name.startswith("PREFECT_")} - {"PREFECT_LOGGING_LEVEL"}
    assert "secret" not in said
    assert len(ask(client, "/deployments/filter", {})) >= 13
    assert not list(shell.folder.glob("foreign.db*"))
    if foreign_database:
        import psycopg

        with psycopg.connect(foreign_database.replace("+psycopg", "")) as connection:
            tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
        assert tables == (0,)


def _a_second_stack_is_refused(shell: Shell, first: "subprocess.Popen[bytes]") -> None:
    before = {path: path.stat().st_mtime_ns for path in (shell.home / "logs").iterdir() if path.name == "deploy.log"}
    outcome = subprocess.run(
        [sys.executable, "-m", "deployments.cli", "demo", "--home", str(shell.home)],
        cwd=shell.folder,
        env=shell.variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 1, outcome.stderr
    assert f"process {first.pid}, since " in outcome.stderr
    assert json.loads((shell.home / "stack.lock").read_text())["prefect"] in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not (shell.home / "synthetic-archive").exists()


def _the_killed_run_has_crashed(client: httpx.Client) -> None:
    runs = ask(client, "/flow_runs/filter", {"flow_runs": {"name": {"any_": ["killed"]}}})
    assert [(run["state"]["type"], run["state"]["message"]) for run in runs] == [("CRASHED", GONE)]
    tasks = _task_runs(client, "train-model killed")
    assert [(task["state"]["type"], task["state"]["message"]) for task in tasks] == [("CRASHED", GONE)]
    limits = ask(client, "/v2/concurrency_limits/filter", {})
    assert {limit["name"]: limit["active_slots"] for limit in limits if limit["active_slots"]} == {}


def _the_next_run_begins_at_once(shell: Shell, client: httpx.Client, deployment: uuid.UUID) -> None:
    """Neither the deployment's slot nor the training's is held by the run that is gone."""
    began = time.monotonic()
    run = _run(client, shell, deployment, "next", is_long=False)
    expect("the next run", (shell.notes / "next.passed").exists)
    assert time.monotonic() - began < _LEASE_SECONDS / 2
    wanted = {"flow_runs": {"id": {"any_": [run]}}}
    expect("its end", lambda: ask(client, "/flow_runs/filter", wanted)[0]["state"]["type"] == "COMPLETED")


def _a_run_that_waits_says_for_whom(shell: Shell, client: httpx.Client) -> None:
    _run(client, shell, _deploy(client, "second"), "holding", is_long=True)
    _child(shell, "holding")
    run = _run(client, shell, _deploy(client, "third"), "waiting", is_long=False)
    words = "waiting for a place among the trainings, held by train-model holding (holding)"

    def logged() -> bool:
        lines = ask(client, "/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
        return any(line["message"] == words for line in lines)

    def shown() -> bool:
        found = ask(client, "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return any(artifact["description"] == f"waiting: {words}" for artifact in found)

    expect("a word in the log", logged)
    expect("a word in the progress", shown)
