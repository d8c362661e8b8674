"""Objects as plain files below one directory."""

import contextlib
import datetime
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lesion_core.errors import ArtifactNotFound, StoreConflict
from lesion_core.stores.addresses import checked_key, checked_prefix
from lesion_core.stores.filesystem import (
    file_digest,
    locked,
    locks_exclude,
    settle,
    settle_filesystem,
    settle_path,
    temporary_file,
    translated,
    write_whole,
)
from lesion_core.stores.protocol import ObjectEntry, ObjectStat, Store
from lesion_core.types import StoreKey

_LOCK_NAME = ".lock"
_COPY_BYTES = 1 << 20
_MANY = 50  # from so many files on it is cheaper to bring all that waits to the disk than each by itself


class LocalStore:
    """A store in a local or mounted directory, safe for several threads and processes.

    A write goes to a hidden file beside its target, is brought to the disk, and is then given its name in
    one step. Whatever gives or takes a name does so under one lock file, so that comparing and replacing
    are one act. A tag is the sha256 of the content, so replacing an object by the same bytes leaves its tag
    (as an S3 server's does).

    Args:
        root: The directory; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self._excludes: bool | None = None

    @property
    def url(self) -> str:
        """Address of the directory."""
        return self._root.as_uri()

    @property
    def root(self) -> Path | None:
        """The directory."""
        return self._root

    def open_reader(self, key: StoreKey) -> BinaryIO:
        """Open an object for streaming; raises ``ArtifactNotFound``."""
        return self._opened(key)

    def read(self, key: StoreKey) -> bytes:
        """Return an object's bytes; raises ``ArtifactNotFound``."""
        with translated(self._path(key)), self.open_reader(key) as stream:
            return stream.read()

    def read_tagged(self, key: StoreKey) -> tuple[bytes, str]:
        """Return an object's bytes and their version tag; raises ``ArtifactNotFound``."""
        body = self.read(key)
        return body, hashlib.sha256(body).hexdigest()

    def stat(self, key: StoreKey) -> ObjectStat | None:
        """Return size and tag of an object, or ``None``; reads the object to make the tag."""
        path = self._path(key)
        try:
            with translated(path), self._opened(key) as stream:
                tag = hashlib.file_digest(stream, "sha256").hexdigest()
                return ObjectStat(size_bytes=stream.tell(), tag=tag)
        except ArtifactNotFound:
            return None

    def write(self, key: StoreKey, source: bytes | BinaryIO) -> str | None:
        """Store an object whole, replacing what was there; raises ``StoreRefused`` where the disk is full."""
        with self._prepared(key, source) as (temporary, target), self._naming(target):
            os.replace(temporary, target)
        return None

    def stage(self, key: StoreKey, body: bytes) -> None:
        """Store an object whole, not yet brought to the disk: many small files wait for it once, in ``settle``.

        Takes no part in the lock, so it is not for keys that are also written conditionally.
        """
        target = self._path(key)
        with translated(target):
            write_whole(target, body)

    def settle(self, keys: Iterable[StoreKey]) -> None:
        """Bring staged objects, and then their names, to the disk; raises ``StoreRefused`` where it is full."""
        staged = list(keys)
        with translated(self._root):
            if len(staged) >= _MANY and settle_filesystem(self._root):
                return
            paths = [self._path(key) for key in staged]
            for path in paths:
                settle_path(path)
            for folder in sorted({folder for path in paths for folder in (path.parent, path.parent.parent)}):
                settle_path(folder)

    def create(self, key: StoreKey, body: bytes) -> str:
        """Store an object only if there is none, and return its tag; raises ``StoreConflict``."""
        with self._prepared(key, body) as (temporary, target), self._naming(target):
            if target.exists():
                raise StoreConflict(f"expected nothing at {key!r}, but somebody stored it first", key=key)
            os.replace(temporary, target)
        return hashlib.sha256(body).hexdigest()

    def replace(self, key: StoreKey, body: bytes, expected_tag: str) -> str:
        """Replace an object only if its tag is still ``expected_tag``; raises ``StoreConflict``."""
        with self._prepared(key, body) as (temporary, target), self._naming(target):
            if not target.is_file() or file_digest(target) != expected_tag:
                raise StoreConflict(
                    f"expected {key!r} unchanged since it was read, but somebody replaced it; read it again", key=key
                )
            os.replace(temporary, target)
        return hashlib.sha256(body).hexdigest()

    def list(self, prefix: str) -> Iterator[StoreKey]:
        """Yield the keys that begin with ``prefix``, sorted; one folder's names are in memory at a time."""
        yield from self._keys_below(self._root, checked_prefix(prefix))

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield what ``list`` yields, each with size and time; what goes away meanwhile is left out."""
        for key in self.list(prefix):
            path = self._path(key)
            with translated(path), contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                modified = datetime.datetime.fromtimestamp(facts.st_mtime, datetime.UTC)
                yield ObjectEntry(key=key, size_bytes=facts.st_size, modified=modified)

    def remove(self, key: StoreKey) -> None:
        """Remove an object; removing what is not there is no error."""
        path = self._path(key)
        with translated(path), contextlib.suppress(FileNotFoundError):
            if path.is_file():
                with self._naming(path):
                    path.unlink()

    def honours_conditions(self) -> bool:
        """Prove that the directory's filesystem keeps a second holder of the lock out."""
        if self._excludes is None:
            with translated(self._root):
                self._excludes = locks_exclude(self._root / _LOCK_NAME)
        return self._excludes

    def _path(self, key: StoreKey) -> Path:
        return self._root / checked_key(key)

    def _opened(self, key: StoreKey) -> io.BufferedReader:
        path = self._path(key)
        with translated(path):
            try:
                return path.open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise ArtifactNotFound(
                    f"expected {key!r} in {self.url}, found nothing; check the key, or LESION_STORE", key=key
                ) from error

    def _keys_below(self, folder: Path, prefix: str) -> Iterator[StoreKey]:
        """Yield keys in order; ``prefix`` is what is still to be matched below ``folder``, "" everything."""
        wanted, has_more, rest = prefix.partition("/")
        for name, is_folder in _entries(folder):
            # Without a further slash, any name that begins so matches; with one, only the folder of that very name.
            if not (name == wanted if has_more else name.startswith(wanted)):
                continue
            if is_folder:
                yield from self._keys_below(folder / name, rest if has_more else "")
            elif not has_more:
                yield (folder / name).relative_to(self._root).as_posix()

    @contextlib.contextmanager
    def _prepared(self, key: StoreKey, source: bytes | BinaryIO) -> Iterator[tuple[Path, Path]]:
        """Bring ``source`` to the disk under a hidden name; yield that path and the object's."""
        target = self._path(key)
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        with translated(target), temporary_file(target) as (sink, temporary):
            shutil.copyfileobj(stream, sink, _COPY_BYTES)
            settle(sink)
            yield temporary, target

    @contextlib.contextmanager
    def _naming(self, target: Path) -> Iterator[None]:
        """Give or take names alone, and bring the names to the disk."""
        with locked(self._root / _LOCK_NAME):
            yield
            settle_path(target.parent)


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Return name and kind of what lies in a folder, in the order of the keys; a folder's keys have a slash after it.

    Hidden names are unfinished writes, or the lock.
    """
    with translated(folder):
        try:
            with os.scandir(folder) as listing:
                found = [(item.name, item.is_dir()) for item in listing if not item.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(found, key=lambda entry: f"{entry[0]}/" if entry[1] else entry[0])


if TYPE_CHECKING:
    _: Store = LocalStore(Path())
