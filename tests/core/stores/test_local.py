"""What can go wrong with a directory."""

import errno
import fcntl
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lesion_core.errors import StoreRefused, StoreUnavailable
from lesion_core.stores import filesystem
from lesion_core.stores.local import LocalStore

KEY = "models/quick/0123456789ab/model.onnx"


def files_below(root: Path) -> list[str]:
    files = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(name for name in files if name != ".lock")


def failing(code: int) -> Callable[[int], None]:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    return fail


class BrokenSource(io.RawIOBase):
    """A stream that breaks after its first bytes."""

    def __init__(self) -> None:
        self.n_reads = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self.n_reads += 1
        if self.n_reads > 1:
            raise RuntimeError("the source broke")
        buffer[:4] = b"half"
        return 4


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    store = LocalStore(tmp_path / "store")
    store.write(KEY, b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(code))  # where a delayed allocation tells of it
        with pytest.raises(StoreRefused, match=r"full; free space.*LESION_STORE") as caught:
            store.write(KEY, b"after")
        with pytest.raises(StoreRefused):
            store.create("models/other.json", b"x")
        with pytest.raises(StoreRefused):
            store.replace(KEY, b"after", store.read_tagged(KEY)[1])
    assert str(tmp_path / "store" / KEY) in str(caught.value)
    assert store.read(KEY) == b"before"
    assert files_below(tmp_path / "store") == [KEY]


def test_a_source_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(RuntimeError, match="the source broke"):
        store.write(KEY, BrokenSource())  # type: ignore[arg-type]
    assert files_below(tmp_path) == []


def test_a_passing_fault_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(StoreUnavailable, match="try again") as caught:
        LocalStore(tmp_path).write(KEY, b"x")
    assert caught.value.transient


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /sys, where nobody may make a folder")
def test_a_forbidden_place_is_named() -> None:
    with pytest.raises(StoreRefused, match=r"permission to use /sys/lesion-store.*LESION_STORE"):
        LocalStore(Path("/sys/lesion-store")).write(KEY, b"x")


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")
    store = LocalStore(tmp_path / "store")
    with pytest.raises(StoreRefused, match="folders are folders"):
        store.write(KEY, b"x")
    assert list(store.list("")) == []


def test_a_key_that_runs_through_a_file_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("models/quick", b"x")
    with pytest.raises(StoreRefused, match="folders are folders"):
        store.write("models/quick/0123", b"x")
    with pytest.raises(StoreRefused):
        store.write("models", b"x")
    assert files_below(tmp_path) == ["models/quick"]


def test_unfinished_files_are_never_listed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with filesystem.temporary_file(tmp_path / KEY) as (stream, path):
        stream.write(b"half")
        stream.flush()
        assert path.is_file()
        assert list(store.list("")) == []
        assert list(store.list("models/")) == []


def test_a_writer_killed_halfway_leaves_the_old_version(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write(KEY, b"before")
    script = (
        "import io, os, sys\n"
        "from pathlib import Path\n"
        "from lesion_core.stores.local import LocalStore\n"
        "class Killing(io.BytesIO):\n"
        "    def read(self, size=-1):\n"
        "        block = super().read(100)\n"
        "        if not block: os.kill(os.getpid(), 9)\n"
        "        return block\n"
        f"LocalStore(Path({str(tmp_path)!r})).write({KEY!r}, Killing(b'after' * 1000))\n"
    )
    outcome = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert outcome.returncode == -9
    assert store.read(KEY) == b"before"
    assert list(store.list("")) == [KEY]
    store.write(KEY, b"later")  # the dead writer holds no lock
    assert store.read(KEY) == b"later"


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    assert store.stat(KEY) is None
    assert list(store.list("")) == []
    store.remove(KEY)
    assert not (tmp_path / "store").exists()


def test_files_have_the_permissions_of_their_user(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        LocalStore(tmp_path).write(KEY, b"x")
    finally:
        os.umask(before)
    assert (tmp_path / KEY).stat().st_mode & 0o777 == 0o640


def test_a_filesystem_whose_locks_exclude_nobody_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda stream, operation: None)
    assert not LocalStore(tmp_path).honours_conditions()
