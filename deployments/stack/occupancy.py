"""One stack in a folder: the lock on it, and who holds it.

Two stacks in one folder share a database, and each worker would take the other's runs. The lock is the kernel's
(``flock``): it is gone with its last holder, also after ``kill -9``, whatever the file says. The stack's processes
hold it beside their starter, so that a new stack waits for what is left of a killed one.
"""

import contextlib
import datetime
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deployments.stack.addresses import Addresses
from lesion_core.errors import ConfigError

_NAME = "stack.lock"
_SECONDS_TO_END = 20.0
_held: dict[Path, "Hold"] = {}


@dataclass(frozen=True, slots=True)
class Hold:
    """The lock on a folder, held by this process.

    Attributes:
        descriptor: Of the open lock file; ``None`` where the filesystem has no locks.
    """

    path: Path
    descriptor: int | None

    def tell(self, addresses: Addresses) -> None:
        """Note for others where this stack can be reached."""
        self._write({"prefect": addresses.prefect, "page": addresses.page})

    def _write(self, addresses: dict[str, str]) -> None:
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        self.path.write_text(json.dumps({"pid": os.getpid(), "since": since, **addresses}))


@contextlib.contextmanager
def hold(home: Path) -> Iterator[Hold]:
    """Hold a folder for one stack; within the block, holding it once more is no second stack.

    Raises:
        ConfigError: Another stack is there; the message says which process, since when, and at which address.
    """
    home = home.resolve()
    if home in _held:
        yield _held[home]
        return
    home.mkdir(parents=True, exist_ok=True)
    path = home / _NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        has_locks = _take(descriptor, path)
        _held[home] = Hold(path, descriptor if has_locks else None)
        _held[home]._write({})
        yield _held[home]
    finally:
        _held.pop(home, None)
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> bool:
    """Take the lock, and say whether there are locks here; waits for the rest of a stack whose starter is dead."""
    deadline = time.monotonic() + _SECONDS_TO_END
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            holder = _read(path)
            if _is_alive(holder.get("pid")) or time.monotonic() > deadline:
                raise ConfigError(_refusal(path, holder)) from None
            time.sleep(0.2)
        except OSError:  # some network filesystems; one stack is then up to the user
            return False


def _refusal(path: Path, holder: dict[str, object]) -> str:
    pid, since = holder.get("pid", "unknown"), holder.get("since", "unknown")
    where = f" It is at {holder['prefect']} (Prefect UI) and {holder['page']} (page)." if "prefect" in holder else ""
    return (
        f"expected {path.parent} to be free, but a local stack runs there: process {pid}, since {since}.{where} Use "
        f"that one, stop it (Ctrl-C in its terminal, or kill {pid}), or name another folder with --home"
    )


def _read(path: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        return content if isinstance(content, dict) else {}
    return {}


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int):
        return True  # it has just taken the lock, and is about to write who it is
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True
