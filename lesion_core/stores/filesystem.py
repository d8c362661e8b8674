"""Whole files, locks between processes, and the one translation of the operating system's errors."""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lesion_core.errors import StoreRefused, StoreUnavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# Faults of a network share or of a crowded machine: the same call may succeed later.
_PASSING = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EBUSY,
        errno.EAGAIN,
        errno.EINTR,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOLCK,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
_TEMPORARY_SUFFIX = ".partial"
_PROCESS = secrets.token_hex(8)
_NUMBERS = itertools.count()


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise an ``OSError`` about ``path`` as what it means to the caller of a store.

    Raises:
        StoreRefused: Disk full, no permission, or anything else that a repetition will not mend.
        StoreUnavailable: A fault that may pass.
    """
    try:
        yield
    except OSError as error:
        raise _meaning(error, path) from error


def _meaning(error: OSError, path: Path) -> StoreRefused | StoreUnavailable:
    facts = {"path": str(path), "errno": error.errno}
    if error.errno in _FULL:
        return StoreRefused(
            f"expected room for {path}, but the disk or quota is full; free space there, or choose another place "
            "with LESION_STORE (artifacts) or LESION_WORK (local copies)",
            **facts,
        )
    if error.errno in _FORBIDDEN:
        return StoreRefused(
            f"expected permission to use {path}, got: {error.strerror}; give this user access to the folder, or "
            "choose another place with LESION_STORE (artifacts) or LESION_WORK (local copies)",
            **facts,
        )
    if error.errno in _PASSING:
        return StoreUnavailable(f"expected {path} to answer, got: {error.strerror}; try again", **facts)
    return StoreRefused(
        f"expected to use {path}, got: {error.strerror or error}; check that its folders are folders and its disk "
        "is sound",
        **facts,
    )


@contextlib.contextmanager
def temporary_file(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a hidden new file beside ``target``, so on its filesystem, and remove it unless it was moved away."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # The target's name stays out of the temporary one, which would else break the limit for long names.
    path = target.parent / f".{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
    try:
        with path.open("xb") as stream:
            yield stream, path
    finally:
        path.unlink(missing_ok=True)


def write_whole(target: Path, body: bytes) -> None:
    """Write a small file under a hidden name and give it its own, without waiting for the disk.

    In as few calls as the system allows: this is done by the hundred thousand.
    """
    folder = os.path.dirname(target)
    path = f"{folder}/.{_PROCESS}-{os.getpid()}-{next(_NUMBERS)}{_TEMPORARY_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    try:
        try:
            n_written = os.write(descriptor, body)
            while n_written < len(body):
                n_written += os.write(descriptor, memoryview(body)[n_written:])
        finally:
            os.close(descriptor)
        os.replace(path, target)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


def settle(stream: BinaryIO) -> None:
    """Bring a written file's bytes to the disk, so that a name given to it afterwards names whole content."""
    stream.flush()
    os.fsync(stream.fileno())


def settle_path(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_filesystem(path: Path) -> bool:
    """Bring everything that waits on the filesystem of ``path`` to its disk; ``False`` where there is no such call.

    Linux has it (syncfs); a system without it, or a failure, leaves the caller to settle each file.
    """
    syncfs = getattr(ctypes.CDLL(None), "syncfs", None)
    if syncfs is None:
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return bool(syncfs(descriptor) == 0)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` against every other thread and process; its end, however it comes, frees it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def locks_exclude(path: Path) -> bool:
    """Tell whether the filesystem of ``path`` really keeps a second holder out (some network shares do not)."""
    with locked(path), path.open("ab") as second:
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
