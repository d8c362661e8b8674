"""Patience with a store that does not answer at once, wrapped around any store.

The idea of a wrapper with the store's own interface is Optuna's (``optuna/artifacts/_backoff.py``); full
jitter is from Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from lesion_core.errors import ArtifactNotFound, StoreConflict, StoreUnavailable
from lesion_core.stores.protocol import ObjectEntry, ObjectStat, Store
from lesion_core.types import StoreKey

_Answer = TypeVar("_Answer")


class RetryingStore:
    """A store that repeats what ended in ``StoreUnavailable``, and nothing else.

    This is the only place where requests are repeated. A conditional write whose answer was lost may find
    its own bytes on the second attempt; it then counts as won. A stream handed out by ``open_reader`` is not
    reopened when it breaks; a stream given to ``write`` is rewound, and cannot be repeated if it cannot seek.

    Args:
        store: The store that does the work.
        attempts: How often a request is made in all, at least 1.
        base_seconds: Upper bound of the first pause; it doubles with each further one.
        longest_seconds: No pause is longer than this.
        sleep: Called with each pause in seconds.
        chance: Returns a number in [0, 1) that scales each pause, so that many workers do not return at once.
    """

    def __init__(
        self,
        store: Store,
        *,
        attempts: int = 4,
        base_seconds: float = 0.25,
        longest_seconds: float = 8.0,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._attempts = attempts
        self._base_seconds = base_seconds
        self._longest_seconds = longest_seconds
        self._sleep = sleep
        self._chance = chance

    @property
    def url(self) -> str:
        """Address of the wrapped store."""
        return self._store.url

    @property
    def root(self) -> Path | None:
        """Directory of the wrapped store, if it has one."""
        return self._store.root

    def open_reader(self, key: StoreKey) -> BinaryIO:
        """Open an object for streaming; only the opening is repeated."""
        return self._patiently(lambda: self._store.open_reader(key))

    def read(self, key: StoreKey) -> bytes:
        """Return an object's bytes."""
        return self._patiently(lambda: self._store.read(key))

    def read_tagged(self, key: StoreKey) -> tuple[bytes, str]:
        """Return an object's bytes and their version tag."""
        return self._patiently(lambda: self._store.read_tagged(key))

    def stat(self, key: StoreKey) -> ObjectStat | None:
        """Return size and tag of an object, or ``None``."""
        return self._patiently(lambda: self._store.stat(key))

    def write(self, key: StoreKey, source: bytes | BinaryIO) -> str | None:
        """Store an object whole; returns what the wrapped store does."""
        if isinstance(source, bytes):
            return self._patiently(lambda: self._store.write(key, source))
        if not source.seekable():
            return self._store.write(key, source)
        start = source.tell()

        def write_from_start() -> str | None:
            source.seek(start)
            return self._store.write(key, source)

        return self._patiently(write_from_start)

    def stage(self, key: StoreKey, body: bytes) -> None:
        """Store an object whole, to be settled later."""
        self._patiently(lambda: self._store.stage(key, body))

    def settle(self, keys: Iterable[StoreKey]) -> None:
        """Bring staged objects to where they outlast a power failure."""
        staged = list(keys)
        self._patiently(lambda: self._store.settle(staged))

    def create(self, key: StoreKey, body: bytes) -> str:
        """Store an object only if there is none."""
        return self._conditionally(key, body, lambda: self._store.create(key, body))

    def replace(self, key: StoreKey, body: bytes, expected_tag: str) -> str:
        """Replace an object only if its tag is still ``expected_tag``."""
        return self._conditionally(key, body, lambda: self._store.replace(key, body, expected_tag))

    def list(self, prefix: str) -> Iterator[StoreKey]:
        """Yield the keys that begin with ``prefix``, sorted; a break is continued after the last key given out."""
        return self._continued(lambda: self._store.list(prefix), lambda key: key)

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield what ``list`` yields, each with size and time; continued as ``list`` is."""
        return self._continued(lambda: self._store.entries(prefix), lambda entry: entry.key)

    def _continued(
        self, ask: Callable[[], Iterator[_Answer]], key_of: Callable[[_Answer], StoreKey]
    ) -> Iterator[_Answer]:
        last: StoreKey | None = None
        for pause in self._pauses():
            try:
                for item in ask():
                    if last is None or key_of(item) > last:
                        yield item
                        last = key_of(item)
                return
            except StoreUnavailable:
                if pause is None:
                    raise
                self._sleep(pause)

    def remove(self, key: StoreKey) -> None:
        """Remove an object."""
        self._patiently(lambda: self._store.remove(key))

    def honours_conditions(self) -> bool:
        """Ask the wrapped store for its proof."""
        return self._patiently(self._store.honours_conditions)

    def _pauses(self) -> Iterator[float | None]:
        """Yield the pause to make after each attempt; ``None`` after the last."""
        for number in range(self._attempts - 1):
            yield self._chance() * min(self._base_seconds * 2**number, self._longest_seconds)
        yield None

    def _patiently(self, request: Callable[[], _Answer]) -> _Answer:
        pauses = self._pauses()
        while True:
            try:
                return request()
            except StoreUnavailable:
                pause = next(pauses)
                if pause is None:
                    raise
                self._sleep(pause)

    def _conditionally(self, key: StoreKey, body: bytes, request: Callable[[], str]) -> str:
        n_requests = 0

        def counted() -> str:
            nonlocal n_requests
            n_requests += 1
            return request()

        try:
            return self._patiently(counted)
        except StoreConflict:
            tag = self._tag_if_same(key, body) if n_requests > 1 else None
            if tag is None:
                raise
            return tag

    def _tag_if_same(self, key: StoreKey, body: bytes) -> str | None:
        try:
            stored, tag = self.read_tagged(key)
        except ArtifactNotFound:
            return None
        return tag if stored == body else None


if TYPE_CHECKING:
    from lesion_core.stores.local import LocalStore

    _: Store = RetryingStore(LocalStore(Path()))
