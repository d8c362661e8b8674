"""One file between a folder's local copy and a store, sure to be whole where it arrives."""

import hashlib
import os
from pathlib import Path

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.stores.etags import names_content
from lesion_core.stores.filesystem import file_digest, settle, temporary_file
from lesion_core.stores.protocol import Store
from lesion_core.stores.verified import Verified, facts_of
from lesion_core.types import Sha256, StoreKey

_BLOCK_BYTES = 1 << 20


def upload(store: Store, key: StoreKey, path: Path, sha256: Sha256) -> None:
    """Store a file; it is read back, unless the server's answer shows that it has received the bytes meant.

    Raises:
        ArtifactCorrupt: Other bytes are stored.
    """
    with path.open("rb") as stream:
        tag = store.write(key, stream)
    if tag is None or not names_content(tag, path, sha256):
        verify(store, key, sha256)


def stored_digest(store: Store, key: StoreKey) -> Sha256 | None:
    """Return the sha256 of a stored object, or ``None`` where there is none."""
    digest = hashlib.sha256()
    try:
        with store.open_reader(key) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except ArtifactNotFound:
        return None
    return digest.hexdigest()


def verify(store: Store, key: StoreKey, sha256: Sha256) -> None:
    """Read an object and compare.

    Raises:
        ArtifactNotFound: It is not there.
        ArtifactCorrupt: It has another sha256.
    """
    actual = stored_digest(store, key)
    if actual is None:
        raise ArtifactNotFound(
            f"expected {key!r} in {store.url}, which the folder's index lists, found nothing; restore it from a "
            "backup, or remove the folder's index so that the step can make it again",
            key=key,
        )
    if actual != sha256:
        raise corrupt(store, key, sha256, actual)


def verify_once(store: Store, key: StoreKey, name: str, sha256: Sha256, notes: Verified) -> None:
    """Verify an object of a local store, unless that was done and its file has not changed since."""
    assert store.root is not None
    path = store.root / key
    if notes.holds(name, path, sha256):
        return
    before = facts_of(path)
    verify(store, key, sha256)
    notes.add(name, path, sha256, before)


def download(store: Store, key: StoreKey, name: str, path: Path, sha256: Sha256, notes: Verified) -> None:
    """Bring one object to ``path``, unless it is already there with the right bytes."""
    if notes.holds(name, path, sha256):
        return
    before = facts_of(path)
    if path.is_file() and file_digest(path) == sha256:
        notes.add(name, path, sha256, before)
        return
    digest = hashlib.sha256()
    with store.open_reader(key) as stream, temporary_file(path) as (sink, temporary):
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            sink.write(block)
        settle(sink)
        if digest.hexdigest() != sha256:
            raise corrupt(store, key, sha256, digest.hexdigest())
        os.replace(temporary, path)


def corrupt(store: Store, key: StoreKey, expected: Sha256, actual: Sha256) -> ArtifactCorrupt:
    """Return the error that an object's other bytes are."""
    return ArtifactCorrupt(
        f"expected {key!r} in {store.url} to have sha256 {expected}, got {actual}; restore it from a backup, or "
        "remove the folder's index so that the step can make it again",
        key=key,
        expected=expected,
        actual=actual,
    )
