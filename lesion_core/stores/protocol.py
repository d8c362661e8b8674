"""What every place where bytes live can do."""

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from lesion_core.types import StoreKey


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """Size of an object in bytes, and the opaque tag that names this version of it."""

    size_bytes: int
    tag: str


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object in a listing: its key, its size in bytes, and when it was last written, by the store's own clock."""

    key: StoreKey
    size_bytes: int
    modified: datetime.datetime


class Store(Protocol):
    """Objects under relative keys; every write is whole or invisible.

    Raised by any method: ``StoreUnavailable`` (transient) where the store does not answer,
    ``StoreRefused`` where it will not serve this caller (credential, permission, full disk).
    """

    @property
    def url(self) -> str:
        """Where the store is, without secrets: ``file:///srv/lesion`` or ``s3://bucket/prefix``."""

    @property
    def root(self) -> Path | None:
        """The directory that holds the objects as plain files at their keys, if there is one."""

    def open_reader(self, key: StoreKey) -> BinaryIO:
        """Open an object for streaming; raises ``ArtifactNotFound``."""

    def read(self, key: StoreKey) -> bytes:
        """Return an object's bytes; raises ``ArtifactNotFound``."""

    def read_tagged(self, key: StoreKey) -> tuple[bytes, str]:
        """Return an object's bytes and their version tag; raises ``ArtifactNotFound``."""

    def stat(self, key: StoreKey) -> ObjectStat | None:
        """Return size and tag of an object, or ``None`` where there is none."""

    def write(self, key: StoreKey, source: bytes | BinaryIO) -> str | None:
        """Store an object whole, replacing what was there.

        Returns the ETag that a server has made of what it received, else ``None`` (``etags`` says what it proves).
        """

    def stage(self, key: StoreKey, body: bytes) -> None:
        """Store an object whole, seen at once, but sure to outlast a power failure only after ``settle``.

        For objects named by their content: not to be mixed with conditional writes of the same key.
        """

    def settle(self, keys: Iterable[StoreKey]) -> None:
        """Bring staged objects to where they outlast a power failure."""

    def create(self, key: StoreKey, body: bytes) -> str:
        """Store an object only if there is none, and return its tag; raises ``StoreConflict``."""

    def replace(self, key: StoreKey, body: bytes, expected_tag: str) -> str:
        """Replace an object only if its tag is still ``expected_tag``; raises ``StoreConflict``."""

    def list(self, prefix: str) -> Iterator[StoreKey]:
        """Yield the keys that begin with ``prefix``, sorted."""

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield what ``list`` yields, each with size and time; no request for each object."""

    def remove(self, key: StoreKey) -> None:
        """Remove an object; removing what is not there is no error."""

    def honours_conditions(self) -> bool:
        """Prove, once per instance, that ``create`` and ``replace`` refuse what they must."""
