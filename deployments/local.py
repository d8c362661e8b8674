"""The local stack: Prefect server, worker, mirror and page, each a process that ends with this one."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lesion_core.errors import ConfigError

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parent.parent
_STOP_SECONDS = 15
LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"


def free_port(preferred: int) -> int:
    """Return ``preferred`` if nothing listens there, else a port that is free now."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise ConfigError("expected a free port on 127.0.0.1, found none; close some programs")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of one stack listen."""

    prefect_port: int
    page_port: int
    mirror_port: int

    @property
    def prefect(self) -> str:
        """The Prefect UI."""
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def page(self) -> str:
        """The clinician's page."""
        return f"http://{HOST}:{self.page_port}"

    @property
    def mirror(self) -> str:
        """The archive's API, as the mirror speaks it."""
        return f"http://{HOST}:{self.mirror_port}/api/v2/"

    @classmethod
    def choose(cls) -> "Addresses":
        """Take the usual ports where they are free."""
        return cls(free_port(4200), free_port(7860), free_port(8011))


def environment(home: Path, addresses: Addresses, archive_url: str) -> dict[str, str]:
    """Return the variables that all processes of a stack share; what the user has set wins for the store."""
    fixed = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"{addresses.prefect}/api",
        "PREFECT_SERVER_UI_API_URL": f"{addresses.prefect}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # In memory, a restart would forget who holds a slot, and the slot would stay taken for ever.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_ON_DISK,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "lesion_core",
        "DO_NOT_TRACK": "1",
        "LESION_PAGE_PORT": str(addresses.page_port),
        "LESION_ARCHIVE_URL": archive_url,
        "PYTHONUNBUFFERED": "1",
    }
    defaults = {
        "LESION_STORE": str(home / "store"),
        "LESION_WORK": str(home / "work"),
        "LESION_RECIPES": str(PROJECT / "deployments" / "recipes"),
        "LESION_COMPARISONS": str(PROJECT / "deployments" / "comparisons"),
    }
    return {**defaults, **os.environ, **fixed}


@dataclass(slots=True)
class Stack:
    """Processes started together and stopped together, newest first."""

    home: Path
    variables: Mapping[str, str]
    _running: list[tuple[str, "subprocess.Popen[bytes]"]] = field(default_factory=list)

    def start(self, name: str, *arguments: str) -> None:
        """Start ``python -m arguments…`` in a session of its own, with its output in ``logs/<name>.log``."""
        self._log(name).parent.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.variables),
                cwd=PROJECT,
                # A session of its own: Ctrl-C reaches only this process, which then stops the others in order.
                start_new_session=True,
            )
        self._running.append((name, process))

    def wait_until(self, name: str, is_ready: Callable[[], bool], seconds: float = 300) -> None:
        """Wait until ``is_ready``; fail with the end of the log if the process ended or time is up."""
        process = dict(self._running)[name]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            if is_ready():
                return
            time.sleep(0.2)
        raise ConfigError(f"{name} did not come up; the end of {self._log(name)}:\n{self._tail(name)}")

    def run(self, name: str, *arguments: str) -> None:
        """Run ``python -m arguments…`` to its end; fail with the end of its log where it fails."""
        self.start(name, *arguments)
        process = self._running[-1][1]
        process.wait()
        if process.returncode:
            raise ConfigError(f"{name} failed; the end of {self._log(name)}:\n{self._tail(name)}")
        self._running.pop()

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
        for _, process in reversed(self._running):
            _signal_session(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_STOP_SECONDS)
            _signal_session(process, signal.SIGKILL)
            process.wait()
        self._running.clear()


def _signal_session(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def answers(url: str) -> bool:
    """Say whether a GET of ``url`` answers 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError):
        return False


def _unwind(*_: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def running_stack(
    home: Path, addresses: Addresses, archive: Path | None, archive_url: str, scheduled: Sequence[str] = ()
) -> Iterator[Stack]:
    """Run the whole stack for the length of a ``with`` block.

    Args:
        home: Folder for the store, Prefect's database and the logs.
        addresses: Where each part listens.
        archive: Folder that the mirror serves; ``None`` starts no mirror.
        archive_url: Archive that flows ask when their source names none.
        scheduled: Options of ``lesion deploy`` that say what scheduled runs ask for. Their schedules are off at
            first: a stack that somebody looks at should not begin to train by itself.
    """
    stack = Stack(home, environment(home, addresses, archive_url))
    # Ctrl-C and an ordinary kill both unwind the block, so nothing that was started is left behind; set here because
    # a shell starts what it puts in the background with Ctrl-C ignored.
    previous = {number: signal.signal(number, _unwind) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stack.start(
            "prefect-server", "prefect", "server", "start", "--host", HOST, "--port", str(addresses.prefect_port)
        )
        if archive is not None:
            stack.start("mirror", "deployments.cli", "mirror", str(archive), "--port", str(addresses.mirror_port))
        stack.start("page", "deployments.app")
        stack.wait_until("prefect-server", lambda: answers(f"{addresses.prefect}/api/health"))
        stack.run("deploy", "deployments.cli", "deploy", "--paused", *scheduled)
        stack.start(
            "worker", "prefect", "worker", "start", "--pool", "lesion", "--type", "process", "--name", "local"
        )
        if archive is not None:
            stack.wait_until("mirror", lambda: answers(f"{addresses.mirror}images/?limit=1"))
        stack.wait_until("page", lambda: answers(f"{addresses.page}/healthz"))
        yield stack
    finally:
        stack.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)
