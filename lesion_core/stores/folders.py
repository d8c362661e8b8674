"""Artifact folders: immutable, complete or absent, every byte accounted for.

::

    models/isic-quick/0f3a9c1d22b4/              the folder, named by the digest of what the output depends on
        index.json                               published last; it lists every file with its sha256
        5d1be8a07c41/model.onnx                  the files, below the digest of their own list
        5d1be8a07c41/recipe.json

Two workers may make the same output at once, and their bytes may differ (training on several threads
does). Below the digest of their list, neither can overwrite the other's files: whichever index is created
first names files that are whole. A folder without an index does not exist for any reader.
"""

import datetime
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError, StoreConflict
from lesion_core.keys import DIGEST_LENGTH, INDEX_NAME, canonical_json, digest_of, index_key
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.refs import Ref
from lesion_core.stores.filesystem import file_digest, locked, translated
from lesion_core.stores.protocol import Store
from lesion_core.stores.transfers import corrupt, download, stored_digest, upload, verify_once
from lesion_core.stores.verified import Verified
from lesion_core.types import JsonDict, Sha256, StoreKey, Value


class FileEntry(Value):
    """What one file must be."""

    sha256: Sha256
    size_bytes: int = Field(ge=0)


class FolderIndex(Value):
    """Content of ``<folder>/index.json``."""

    step: str = Field(description="What made the folder: 'train', 'evaluate' …")
    step_version: int = Field(ge=1, description="Version of that step's code")
    inputs: JsonDict = Field(description="Everything the output depends on; its digest names the folder")
    summary: JsonDict = Field(description="The own fields of the reference to this folder (counts, licence …)")
    files: dict[StoreKey, FileEntry] = Field(min_length=1, description="By name relative to the folder's files")
    created: str = Field(description="ISO 8601, UTC; informative")


def utc_now() -> datetime.datetime:
    """Return the time; the clock used where none is given."""
    return datetime.datetime.now(datetime.UTC)


def files_folder(folder_key: StoreKey, index: FolderIndex) -> StoreKey:
    """Return the key below which the files of a folder lie."""
    return f"{folder_key}/{_list_digest(index.files)}"


def find(store: Store, folder_key: StoreKey) -> tuple[FolderIndex, Sha256] | None:
    """Return the index of a complete folder with the index's sha256, or ``None`` where there is none.

    Raises:
        ArtifactCorrupt: The index is there but is none.
    """
    try:
        body = store.read(index_key(folder_key))
    except ArtifactNotFound:
        return None
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        return FolderIndex.model_validate_json(body), sha256
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected a folder index at {index_key(folder_key)!r} in {store.url}, got something else "
            f"({error.error_count()} fields wrong); remove it, so that the step can make the folder again",
            key=index_key(folder_key),
            expected="a folder index",
            actual=sha256,
        ) from error


def get_index(store: Store, folder: Ref | StoreKey) -> tuple[StoreKey, FolderIndex]:
    """Return key and index of a folder that must be complete and, for a ``Ref``, the very one it points at.

    Raises:
        ArtifactNotFound: No complete folder is there.
        ArtifactCorrupt: The index is not the one whose sha256 the ``Ref`` carries.
    """
    folder_key = folder.key if isinstance(folder, Ref) else folder
    index, sha256 = _found(store, folder_key)
    if isinstance(folder, Ref) and folder.sha256 != sha256:
        raise corrupt(store, index_key(folder_key), folder.sha256, sha256)
    return folder_key, index


def list_folders(store: Store, prefix: str) -> Iterator[tuple[StoreKey, FolderIndex, Sha256]]:
    """Yield key, index and index's sha256 of each complete folder whose key begins with ``prefix``, sorted by key."""
    for key in store.list(prefix):
        if PurePosixPath(key).name == INDEX_NAME:
            folder_key = key.removesuffix(f"/{INDEX_NAME}")
            if (found := find(store, folder_key)) is not None:
                yield folder_key, *found


def publish(
    store: Store,
    folder_key: StoreKey,
    source: Path,
    *,
    step: str,
    step_version: int,
    inputs: JsonDict,
    summary: JsonDict,
    clock: Callable[[], datetime.datetime] = utc_now,
    on_progress: ProgressCallback = ignore_progress,
) -> tuple[FolderIndex, Sha256]:
    """Store every file below ``source``, verify each, and publish the index last.

    A file is verified by the ETag that the server makes of what it receives; where that says nothing (a directory, a
    server that encrypts), by reading it back.

    The first to publish wins: where a complete folder is already there, or appears meanwhile, that one is
    returned. What an interrupted attempt left behind is used where its bytes are right.

    On a store that does not honour conditions (``Store.honours_conditions``), the index is looked for and
    then written plainly. Two workers that publish the same folder in the same instant may then both write
    an index; the later one stays, and it is whole. A channel, whose value is not determined by its key,
    is never moved on such a store.

    Args:
        store: Where to.
        folder_key: The folder, made in ``keys.py`` from the digest of ``inputs``.
        source: Local folder; hidden files and an ``index.json`` are refused, empty folders ignored.
        step: What made the output.
        step_version: Version of that step's code.
        inputs: Everything the output depends on, JSON-serialisable.
        summary: The own fields of the reference to this folder, JSON-serialisable.
        clock: Time of publication.
        on_progress: Gets the stage 'publish', file by file.

    Raises:
        ConfigError: There is nothing to publish, or a name cannot be a key.
        ArtifactCorrupt: The store gives back other bytes than it was given.
    """
    if (found := find(store, folder_key)) is not None:
        return found
    files = _entries(source)
    index = FolderIndex(
        step=step,
        step_version=step_version,
        inputs=inputs,
        summary=summary,
        files=files,
        created=clock().astimezone(datetime.UTC).isoformat(timespec="microseconds"),
    )
    home = files_folder(folder_key, index)
    tally = Tally(on_progress, "publish", len(files))
    there = set(store.list(f"{home}/"))  # what an interrupted attempt left
    try:
        for name, entry in files.items():
            key = f"{home}/{name}"
            with tally.part(name):
                if key not in there or stored_digest(store, key) != entry.sha256:
                    upload(store, key, source / name, entry.sha256)
    except (ArtifactCorrupt, ArtifactNotFound):
        if (found := find(store, folder_key)) is None:
            raise
        return found  # another worker published first and cleared files that were also ours
    winner = _create_index(store, folder_key, index) or _found(store, folder_key)
    if files_folder(folder_key, winner[0]) == home:
        _mend(store, home, source, files)
    elif store.honours_conditions():
        for name in files:  # no index names them and, on this store, none ever will
            store.remove(f"{home}/{name}")
    return winner


def read_file(store: Store, folder: Ref | StoreKey, name: str) -> bytes:
    """Return one file's bytes, verified against the index.

    Raises:
        ArtifactNotFound: No complete folder, or no such file in it; the message names those that are.
        ArtifactCorrupt: The bytes are not those that were published.
    """
    folder_key, index = get_index(store, folder)
    if name not in index.files:
        raise ArtifactNotFound(
            f"expected a file {name!r} in {folder_key!r}, which has {', '.join(sorted(index.files))}", key=folder_key
        )
    key = f"{files_folder(folder_key, index)}/{name}"
    body = store.read(key)
    actual = hashlib.sha256(body).hexdigest()
    if actual != index.files[name].sha256:
        raise corrupt(store, key, index.files[name].sha256, actual)
    return body


def materialise(
    store: Store, folder: Ref | StoreKey, cache: Path, on_progress: ProgressCallback = ignore_progress
) -> Path:
    """Return a local directory that holds all files of a folder, each verified against the index.

    That is the store's own directory where it has one (``store.root``; treat it as read-only), else a copy
    below ``cache``: complete or absent, continued after an interruption, mended where a copied file was
    damaged, and safe when several processes ask at once (one downloads, the others wait for it).
    A file that was found whole before and has not changed since is not hashed again (``verified``).
    ``on_progress`` gets the stage 'fetch dataset', 'fetch model' …, file by file.

    Raises:
        ArtifactNotFound: No complete folder is there, or one of its files is gone.
        ArtifactCorrupt: A stored file is not the one that was published.
        StoreRefused: No room or no permission in ``cache``.
    """
    folder_key, index = get_index(store, folder)
    home = files_folder(folder_key, index)
    kind = folder_key.partition("/")[0].removesuffix("s")
    tally = Tally(on_progress, f"fetch {kind}", len(index.files))
    target = cache / home
    notes = Verified(target.with_name(f".{target.name}.verified"))
    if store.root is not None:
        for name, entry in index.files.items():
            with tally.part(name):
                verify_once(store, f"{home}/{name}", name, entry.sha256, notes)
        notes.save()
        return store.root / home
    staging = target.with_name(f".{target.name}")
    with translated(target), locked(target.with_name(f".{target.name}.lock")):
        place = target if target.is_dir() else staging
        for name, entry in index.files.items():
            with tally.part(name):
                download(store, f"{home}/{name}", name, place / name, entry.sha256, notes)
        if place is staging:
            os.replace(staging, target)
        notes.save()
    return target


def _found(store: Store, folder_key: StoreKey) -> tuple[FolderIndex, Sha256]:
    found = find(store, folder_key)
    if found is None:
        raise ArtifactNotFound(
            f"expected a complete folder {folder_key!r} in {store.url}, found none; run the step that makes it, or "
            "check LESION_STORE",
            key=folder_key,
        )
    return found


def _list_digest(files: dict[StoreKey, FileEntry]) -> str:
    return digest_of({name: entry.sha256 for name, entry in files.items()})[:DIGEST_LENGTH]


def _entries(source: Path) -> dict[StoreKey, FileEntry]:
    with translated(source):
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        names = {path.relative_to(source).as_posix(): path for path in paths}
        unfit = [
            name for name in names if any(p.startswith(".") for p in name.split("/")) or name.endswith(INDEX_NAME)
        ]
        if unfit or not names:
            raise ConfigError(
                f"expected files to publish in {source}, none hidden and none called {INDEX_NAME}, got "
                f"{', '.join(unfit) or 'none'}; clean the folder before publishing it"
            )
        return {
            name: FileEntry(sha256=file_digest(path), size_bytes=path.stat().st_size) for name, path in names.items()
        }


def _mend(store: Store, home: StoreKey, source: Path, files: dict[StoreKey, FileEntry]) -> None:
    """Store again what was collected as nobody's between its upload and the index that now names it."""
    there = set(store.list(f"{home}/"))
    for name, entry in files.items():
        if f"{home}/{name}" not in there:
            upload(store, f"{home}/{name}", source / name, entry.sha256)


def _create_index(store: Store, folder_key: StoreKey, index: FolderIndex) -> tuple[FolderIndex, Sha256] | None:
    """Publish the index and return it with its sha256, or ``None`` where it may be another that is there."""
    key, body = index_key(folder_key), canonical_json(index.model_dump(mode="json"))
    if not store.honours_conditions():
        if store.stat(key) is None:
            store.write(key, body)
        return None
    try:
        store.create(key, body)
    except StoreConflict:
        return None
    return FolderIndex.model_validate_json(body), hashlib.sha256(body).hexdigest()
