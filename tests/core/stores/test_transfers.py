"""What a folder costs: which bytes cross the wire, which are hashed again; and that no fault hides behind it."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.stores import folders, transfers, verified
from lesion_core.stores.etags import PART_BYTES, names_content
from lesion_core.stores.filesystem import file_digest
from lesion_core.stores.folders import find, materialise
from lesion_core.stores.local import LocalStore
from lesion_core.stores.s3 import S3Store
from lesion_core.stores.verified import Verified, facts_of
from tests.core.stores.conftest import s3_store
from tests.core.stores.test_folders import CONTENT, FOLDER, content_of, filled, published, stored_key
from tests.servers import S3Server

SMALL = {f"{number:03d}.json": str(number).encode() for number in range(20)}


def counted(store: S3Store) -> Counter[str]:
    """Count a store's requests by operation from now on."""
    asked: Counter[str] = Counter()

    def note(model: Any, **_: object) -> None:
        asked[model.name] += 1

    store._client.meta.events.register("before-call.s3", note)
    return asked


def test_a_published_file_is_one_request(minio: S3Server, tmp_path: Path) -> None:
    store = s3_store(minio)
    assert store.honours_conditions()
    asked = counted(store)
    published(store, filled(tmp_path / "source", SMALL))
    assert asked == {"GetObject": 1, "ListObjectsV2": 2, "PutObject": len(SMALL) + 1}


def test_a_large_file_is_not_read_back(minio: S3Server, tmp_path: Path) -> None:
    store = s3_store(minio)
    assert store.honours_conditions()
    asked = counted(store)
    body = os.urandom(PART_BYTES) * 2 + b"end"
    published(store, filled(tmp_path / "source", {"large": body, "edge": body[:PART_BYTES]}))
    assert asked["GetObject"] == 1
    assert asked["UploadPart"] == 4
    assert content_of(materialise(store, FOLDER, tmp_path / "cache")) == {"large": body, "edge": body[:PART_BYTES]}


def test_where_the_answer_says_nothing_a_file_is_read_back(
    minio: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = s3_store(minio)
    monkeypatch.setattr(store, "_tag", lambda answer, key: '"0123456789abcdef0123456789abcdef"')
    monkeypatch.setattr(store, "honours_conditions", lambda: True)
    asked = counted(store)
    published(store, filled(tmp_path / "source", SMALL))
    assert asked["GetObject"] == 1 + len(SMALL)


def test_bytes_that_change_on_the_way_are_found(
    minio: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = s3_store(minio)
    put = store._put_at
    monkeypatch.setattr(store, "_put_at", lambda key, body, **condition: put(key, body + b"!", **condition))
    with pytest.raises(ArtifactCorrupt):
        published(store, filled(tmp_path / "source"))
    assert find(store, FOLDER) is None


def test_a_file_that_changes_while_it_is_published_is_found(
    minio: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = filled(tmp_path / "source")
    upload = folders.upload

    def change_and_upload(store: S3Store, key: str, path: Path, sha256: str) -> None:
        path.write_bytes(b"changed")
        upload(store, key, path, sha256)

    monkeypatch.setattr(folders, "upload", change_and_upload)
    with pytest.raises(ArtifactCorrupt):
        published(s3_store(minio), source)


@pytest.mark.parametrize("n_bytes", [0, 5, PART_BYTES, PART_BYTES + 1])
def test_tags_of_other_bytes_or_counts_name_nothing(n_bytes: int, tmp_path: Path, minio: S3Server) -> None:
    path, store = tmp_path / "file", s3_store(minio)
    path.write_bytes(bytes(n_bytes))
    with path.open("rb") as stream:
        tag = store.write("models/x/file", stream)
    assert tag is not None
    sha256 = file_digest(path)
    assert names_content(tag, path, sha256)
    assert not names_content(tag, path, "0" * 64)
    assert not names_content(f"W/{tag}", path, sha256)
    assert not names_content(f'{tag.strip(chr(34))}-7"', path, sha256)
    path.write_bytes(bytes(n_bytes) + b"x")
    assert not names_content(tag, path, file_digest(path))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are hashed."""
    names: list[str] = []
    stored, local = transfers.stored_digest, transfers.file_digest

    def of_object(store: Any, key: str) -> Any:
        names.append(key.rpartition("/")[2])
        return stored(store, key)

    def of_file(path: Path) -> str:
        names.append(path.name)
        return local(path)

    monkeypatch.setattr(transfers, "stored_digest", of_object)
    monkeypatch.setattr(transfers, "file_digest", of_file)
    return names


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old enough to be remembered."""
    monkeypatch.setattr(verified, "_YOUNG_NS", 0)


@pytest.mark.usefixtures("aged")
@pytest.mark.parametrize("kind", ["directory", "server"])
def test_what_was_found_whole_is_not_hashed_again(
    kind: str, minio: S3Server, tmp_path: Path, hashed: list[str]
) -> None:
    store = LocalStore(tmp_path / "store") if kind == "directory" else s3_store(minio)
    published(store, filled(tmp_path / "source"))
    materialise(store, FOLDER, tmp_path / "cache")
    folder = materialise(store, FOLDER, tmp_path / "cache")
    hashed.clear()
    assert materialise(store, FOLDER, tmp_path / "cache") == folder
    assert hashed == []
    materialise(store, FOLDER, tmp_path / "other")
    assert sorted(hashed) == ([] if kind == "server" else ["empty", "recipe.json", "shard-00000.npy"])


def _same_length(path: Path) -> None:
    path.write_bytes(b"[]")


def _same_times(path: Path) -> None:
    """As far as a program can set them: the inode's own time of change stays out of its reach."""
    times = path.stat()
    path.write_bytes(b"[]")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _replaced(path: Path) -> None:
    times = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"[]")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)


@pytest.mark.usefixtures("aged")
@pytest.mark.parametrize("change", [_same_length, _same_times, _replaced, Path.unlink])
def test_a_file_that_changed_is_hashed_again(change: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    published(store, filled(tmp_path / "source"))
    folder = materialise(store, FOLDER, tmp_path / "cache")
    change(folder / "recipe.json")
    with pytest.raises((ArtifactCorrupt, ArtifactNotFound), match=r"recipe\.json"):
        materialise(store, FOLDER, tmp_path / "cache")


def test_a_young_file_is_not_remembered(tmp_path: Path, hashed: list[str]) -> None:
    """It may be changed once more within the same tick of the filesystem's clock."""
    store = LocalStore(tmp_path / "store")
    published(store, filled(tmp_path / "source"))
    for _ in range(2):
        materialise(store, FOLDER, tmp_path / "cache")
    hashed.clear()
    materialise(store, FOLDER, tmp_path / "cache")
    assert len(hashed) == len(CONTENT)


def test_nothing_is_remembered_for_longer_than_a_week(tmp_path: Path) -> None:
    path, now = tmp_path / "file", [2e9]
    path.write_bytes(b"content")
    notes = Verified(tmp_path / "notes", lambda: now[0])
    notes.add("file", path, "0" * 64, facts_of(path))
    notes.save()
    for days, is_held in ((0, True), (6.9, True), (7.1, False), (-1, False)):
        now[0] = 2e9 + days * 24 * 3600
        assert Verified(tmp_path / "notes", lambda: now[0]).holds("file", path, "0" * 64) == is_held
    assert not notes.holds("file", path, "1" * 64)
    assert not notes.holds("other", path, "0" * 64)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"recipe.json": 1}', b'{"recipe.json": {"sha256": []}}', b"\xff"]
)
def test_damaged_notes_remember_nothing(body: bytes, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    index, _ = published(store, filled(tmp_path / "source"))
    home = folders.files_folder(FOLDER, index)
    notes = (tmp_path / "cache" / home).with_name(f".{Path(home).name}.verified")
    notes.parent.mkdir(parents=True)
    notes.write_bytes(body)
    store.write(stored_key(store, "recipe.json"), b"[]")
    with pytest.raises(ArtifactCorrupt):
        materialise(store, FOLDER, tmp_path / "cache")


@pytest.mark.usefixtures("aged")
def test_a_folder_opens_where_notes_cannot_be_written(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    published(store, filled(tmp_path / "source"))
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert content_of(materialise(store, FOLDER, tmp_path / "cache")) == CONTENT
