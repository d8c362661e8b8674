"""The processes of a local stack: started together, stopped together, and gone when their starter is gone."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deployments.stack.waiting import wait_for
from lesion_core.errors import ConfigError

_STOP_SECONDS = 15


@dataclass(slots=True)
class Stack:
    """Processes started together and stopped together, newest first.

    Attributes:
        home: Folder of the logs, and of the empty folder that the processes run in. Prefect reads ``.env``,
            ``prefect.toml`` and ``pyproject.toml`` where it is started, and those are the user's.
        variables: Environment of every process.
        held: File descriptors that stay open as long as one of these processes lives, such as a lock.
    """

    home: Path
    variables: Mapping[str, str]
    held: tuple[int, ...] = ()
    _running: list[tuple[str, "subprocess.Popen[bytes]"]] = field(default_factory=list)
    _lifeline: tuple[int, int] | None = None

    def start(self, name: str, *arguments: str) -> None:
        """Start ``python -m arguments…`` in a session of its own, with its output in ``logs/<name>.log``."""
        for folder in (self._log(name).parent, self._folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lifeline = self._lifeline or os.pipe()
        watched = self._lifeline[0]
        with self._log(name).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments.stack.watched", str(watched), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.variables),
                cwd=self._folder,
                pass_fds=(watched, *self.held),
                # A session of its own: Ctrl-C reaches only this process, which then stops the others in order.
                start_new_session=True,
            )
        self._running.append((name, process))

    def wait_until(self, name: str, is_ready: Callable[[], bool], seconds: float = 600) -> None:
        """Wait until ``is_ready``; fail with the end of the log if the process ended or time is up.

        The limit is long: a Prefect server's first start takes half a minute of one core, which a busy machine may
        not have to spare. One that cannot start ends by itself.
        """
        process = dict(self._running)[name]
        if not wait_for(is_ready, seconds=seconds, is_hopeless=lambda: process.poll() is not None):
            raise ConfigError(f"{name} did not come up; the end of {self._log(name)}:\n{self._tail(name)}")

    def run(self, name: str, *arguments: str) -> None:
        """Run ``python -m arguments…`` to its end; fail with the end of its log where it fails."""
        self.start(name, *arguments)
        process = self._running[-1][1]
        process.wait()
        if process.returncode:
            raise ConfigError(f"{name} failed; the end of {self._log(name)}:\n{self._tail(name)}")
        self._running.pop()

    @property
    def _folder(self) -> Path:
        return self.home / "run"

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _tail(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")[-1500:]

    def ended(self) -> str | None:
        """Return the name of a part that ended by itself, if one did."""
        return next((name for name, process in self._running if process.poll() is not None), None)

    def stop(self) -> None:
        """End every process with its children; returns when all are gone.

        One after the other: the worker's last words go to the server, which must still be there.
        """
        below = descendants({process.pid for _, process in self._running})
        for _, process in reversed(self._running):
            _signal_session(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_STOP_SECONDS)
            _signal_session(process, signal.SIGKILL)
            process.wait()
        kill(below)
        self._running.clear()
        for end in self._lifeline or ():
            os.close(end)
        self._lifeline = None


def _signal_session(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def descendants(pids: set[int]) -> dict[int, str]:
    """Return all that these processes have started, directly or not, also in sessions of their own: pid and start.

    A flow run is such a process: its worker ends it, unless it has no time left to. Empty where there is no ``ps``.
    """
    table = _table()
    found, grown = set(pids), True
    while grown:
        more = {pid for pid, (parent, _) in table.items() if parent in found} - found
        grown, found = bool(more), found | more
    return {pid: table[pid][1] for pid in found - pids}


def kill(processes: Mapping[int, str]) -> None:
    """Kill what of these is left; a number that another process has been given meanwhile is not meant."""
    now = _table()
    for pid, started in processes.items():
        if pid in now and now[pid][1] == started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _table() -> dict[int, tuple[int, str]]:
    """Return parent and start of every process."""
    command = ["ps", "-A", "-o", "pid=,ppid=,lstart="]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    rows = (line.split(maxsplit=2) for line in listed.splitlines())
    return {int(pid): (int(parent), started) for pid, parent, started in rows}
