"""Artifact folders: complete or absent, first wins, every byte accounted for."""

import datetime
import errno
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError, StoreRefused, StoreUnavailable
from lesion_core.keys import index_key
from lesion_core.refs import Ref
from lesion_core.stores.folders import (
    FolderIndex,
    files_folder,
    find,
    list_folders,
    materialise,
    publish,
    read_file,
)
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.stores.conftest import s3_store
from tests.servers import S3Server

FOLDER = "models/quick/0123456789ab"
CONTENT = {"recipe.json": b"{}", "records/shard-00000.npy": bytes(range(256)) * 100, "empty": b""}


def filled(folder: Path, content: dict[str, bytes] = CONTENT) -> Path:
    for name, body in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def published(store: Store, source: Path, folder_key: str = FOLDER, **changes: Any) -> tuple[FolderIndex, str]:
    facts: dict[str, Any] = {"step": "train", "step_version": 1, "inputs": {"seed": 7}, "summary": {"n": 3}}
    return publish(store, folder_key, source, **{**facts, **changes})


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_published_folder_is_found_and_read(store: Store, tmp_path: Path) -> None:
    noon = datetime.datetime(2025, 3, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    index, sha256 = published(store, filled(tmp_path / "source"), clock=lambda: noon)
    assert find(store, FOLDER) == (index, sha256)
    assert index.created == "2025-03-01T10:00:00.000000+00:00"
    assert (index.step, index.step_version, index.inputs, index.summary) == ("train", 1, {"seed": 7}, {"n": 3})
    assert {name: entry.size_bytes for name, entry in index.files.items()} == {k: len(v) for k, v in CONTENT.items()}
    for name, body in CONTENT.items():
        assert read_file(store, FOLDER, name) == body
    assert list(list_folders(store, "models/")) == [(FOLDER, index, sha256)]


def test_a_folder_comes_to_disk_whole(store: Store, tmp_path: Path) -> None:
    published(store, filled(tmp_path / "source"))
    folder = materialise(store, FOLDER, tmp_path / "cache")
    assert content_of(folder) == CONTENT
    assert materialise(store, FOLDER, tmp_path / "cache") == folder


def test_a_local_store_is_not_copied(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    published(store, filled(tmp_path / "source"))
    assert materialise(store, FOLDER, tmp_path / "cache").is_relative_to(tmp_path / "store")
    assert content_of(tmp_path / "cache") == {}


def test_a_half_published_folder_does_not_exist(store: Store, tmp_path: Path) -> None:
    index, _ = published(store, filled(tmp_path / "source"))
    store.remove(index_key(FOLDER))
    assert find(store, FOLDER) is None
    assert list(list_folders(store, "")) == []
    for act in (lambda: read_file(store, FOLDER, "recipe.json"), lambda: materialise(store, FOLDER, tmp_path / "c")):
        with pytest.raises(ArtifactNotFound, match=FOLDER):
            act()
    assert not (tmp_path / "c").exists()
    assert published(store, tmp_path / "source")[0].files == index.files


class CountingStore(LocalStore):
    """A directory that counts writes and fails after some."""

    def __init__(self, root: Path, *, n_good: int = 10**9) -> None:
        super().__init__(root)
        self.n_good = n_good
        self.written: list[str] = []

    def write(self, key: str, source: Any) -> None:
        if len(self.written) >= self.n_good:
            raise StoreUnavailable("no answer")
        self.written.append(key)
        super().write(key, source)


@pytest.mark.parametrize("n_good", range(len(CONTENT)))
def test_an_interrupted_publication_is_continued(tmp_path: Path, n_good: int) -> None:
    source = filled(tmp_path / "source")
    with pytest.raises(StoreUnavailable):
        published(CountingStore(tmp_path / "store", n_good=n_good), source)
    assert find(LocalStore(tmp_path / "store"), FOLDER) is None
    again = CountingStore(tmp_path / "store")
    published(again, source)
    assert len(again.written) == len(CONTENT) - n_good
    assert content_of(materialise(again, FOLDER, tmp_path)) == CONTENT


def test_what_is_published_stays(store: Store, tmp_path: Path) -> None:
    first = published(store, filled(tmp_path / "first"))
    second = published(store, filled(tmp_path / "second", {"recipe.json": b"other"}), summary={"n": 4})
    assert second == first
    assert read_file(store, FOLDER, "recipe.json") == b"{}"


def test_workers_that_publish_at_once_agree_on_one_whole_folder(honouring: Store, tmp_path: Path) -> None:
    n_workers = 6
    contents = [{"model": str(n).encode() * 1000, "same": b"="} for n in range(n_workers)]
    sources = [filled(tmp_path / str(n), content) for n, content in enumerate(contents)]
    start = Barrier(n_workers)

    def work(source: Path) -> tuple[FolderIndex, str]:
        start.wait()
        return published(honouring, source)

    with ThreadPoolExecutor(n_workers) as pool:
        answers = list(pool.map(work, sources))
    assert all(answer == answers[0] for answer in answers)
    folder = materialise(honouring, FOLDER, tmp_path / "cache")
    assert content_of(folder) in contents
    home = files_folder(FOLDER, answers[0][0])
    kept = {f"{home}/model", f"{home}/same", index_key(FOLDER)}
    assert set(honouring.list("")) == kept, "what lost is cleared away"


def test_a_store_without_conditions_still_keeps_the_first(rclone: S3Server, tmp_path: Path) -> None:
    store = s3_store(rclone)
    assert not store.honours_conditions()
    first = published(store, filled(tmp_path / "first"))
    assert published(store, filled(tmp_path / "second", {"recipe.json": b"other"})) == first


def stored_key(store: Store, name: str) -> str:
    found = find(store, FOLDER)
    assert found is not None
    return f"{files_folder(FOLDER, found[0])}/{name}"


def test_a_corrupt_file_is_refused(store: Store, tmp_path: Path) -> None:
    index, _ = published(store, filled(tmp_path / "source"))
    key = stored_key(store, "recipe.json")
    store.write(key, b"{ }")
    for act in (lambda: read_file(store, FOLDER, "recipe.json"), lambda: materialise(store, FOLDER, tmp_path / "c")):
        with pytest.raises(ArtifactCorrupt, match="sha256") as caught:
            act()
        assert caught.value.key == key
        assert caught.value.expected == index.files["recipe.json"].sha256
        assert caught.value.actual != caught.value.expected
    assert read_file(store, FOLDER, "empty") == b""
    assert not list((tmp_path / "c").rglob("recipe.json"))


def test_a_lost_file_is_refused(store: Store, tmp_path: Path) -> None:
    published(store, filled(tmp_path / "source"))
    store.remove(stored_key(store, "empty"))
    with pytest.raises(ArtifactNotFound, match="empty"):
        materialise(store, FOLDER, tmp_path / "c")


def test_a_file_that_was_never_there_is_refused_with_those_that_are(store: Store, tmp_path: Path) -> None:
    published(store, filled(tmp_path / "source"))
    with pytest.raises(ArtifactNotFound, match=r"empty, recipe\.json, records/shard-00000\.npy"):
        read_file(store, FOLDER, "recipe.yaml")


@pytest.mark.parametrize("body", [b"", b"not json", b"{}", b'{"step": "train"}'])
def test_an_index_that_is_none_is_refused(tmp_path: Path, body: bytes) -> None:
    store = LocalStore(tmp_path)
    store.write(index_key(FOLDER), body)
    with pytest.raises(ArtifactCorrupt, match="folder index") as caught:
        find(store, FOLDER)
    assert caught.value.key == index_key(FOLDER)


def test_a_reference_holds_only_for_its_own_index(store: Store, tmp_path: Path) -> None:
    _, sha256 = published(store, filled(tmp_path / "source"))
    right = Ref(id="quick/0123456789ab", key=FOLDER, sha256=sha256)
    assert read_file(store, right, "recipe.json") == b"{}"
    assert content_of(materialise(store, right, tmp_path / "c")) == CONTENT
    wrong = right.model_copy(update={"sha256": "0" * 64})
    for act in (lambda: read_file(store, wrong, "recipe.json"), lambda: materialise(store, wrong, tmp_path / "d")):
        with pytest.raises(ArtifactCorrupt) as caught:
            act()
        assert (caught.value.expected, caught.value.actual) == ("0" * 64, sha256)


class LyingStore(LocalStore):
    """A directory that keeps other bytes than it is given."""

    def write(self, key: str, source: Any) -> None:
        super().write(key, b"something else")


def test_a_store_that_keeps_other_bytes_publishes_nothing(tmp_path: Path) -> None:
    store = LyingStore(tmp_path / "store")
    with pytest.raises(ArtifactCorrupt):
        published(store, filled(tmp_path / "source"))
    assert find(store, FOLDER) is None


@pytest.mark.parametrize("content", [{}, {"index.json": b""}, {"a/index.json": b""}, {".DS_Store": b"", "a": b""}])
def test_a_folder_that_cannot_be_published_is_refused(tmp_path: Path, content: dict[str, bytes]) -> None:
    (tmp_path / "source").mkdir()
    store = LocalStore(tmp_path / "store")
    with pytest.raises(ConfigError, match="files to publish"):
        published(store, filled(tmp_path / "source", content))
    assert list(store.list("")) == []


def test_a_damaged_copy_is_mended(minio: S3Server, tmp_path: Path) -> None:
    store = s3_store(minio)
    published(store, filled(tmp_path / "source"))
    folder = materialise(store, FOLDER, tmp_path / "cache")
    (folder / "recipe.json").write_bytes(b"[]")
    (folder / "empty").unlink()
    assert content_of(materialise(store, FOLDER, tmp_path / "cache")) == CONTENT


class StoppingStore:
    """A remote store that stops answering after some readers; it counts what it serves."""

    def __init__(self, store: Store, n_good: int) -> None:
        self.store = store
        self.n_good = n_good
        self.n_opened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def open_reader(self, key: str) -> Any:
        if self.n_opened >= self.n_good:
            raise StoreUnavailable("no answer")
        self.n_opened += 1
        return self.store.open_reader(key)


def test_an_interrupted_download_is_absent_and_then_continued(minio: S3Server, tmp_path: Path) -> None:
    store = s3_store(minio)
    published(store, filled(tmp_path / "source"))
    with pytest.raises(StoreUnavailable):
        materialise(StoppingStore(store, 2), FOLDER, tmp_path / "cache")
    visible = [path for path in (tmp_path / "cache" / FOLDER).iterdir() if not path.name.startswith(".")]
    assert visible == []
    rest = StoppingStore(store, 10)
    assert content_of(materialise(rest, FOLDER, tmp_path / "cache")) == CONTENT
    assert rest.n_opened == len(CONTENT) - 2


def test_a_full_disk_for_copies_is_named(minio: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3_store(minio)
    published(store, filled(tmp_path / "source"))

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreRefused, match="LESION_WORK"):
            materialise(store, FOLDER, tmp_path / "cache")
    assert content_of(materialise(store, FOLDER, tmp_path / "cache")) == CONTENT


def copy_over_and_over(make: Callable[[], Store], cache: Path, outcome: Any) -> None:
    folder = materialise(make(), FOLDER, cache)
    outcome.put((str(folder), content_of(folder) == CONTENT))


class Opener:
    """Opens the same store in another process."""

    def __init__(self, server: S3Server, prefix: str) -> None:
        self.server = server
        self.prefix = prefix

    def __call__(self) -> Store:
        return s3_store(self.server, prefix=self.prefix)


def test_processes_that_ask_at_once_get_one_whole_copy(minio: S3Server, tmp_path: Path) -> None:
    opener = Opener(minio, "materialise/at-once")
    published(opener(), filled(tmp_path / "source"))
    context = multiprocessing.get_context("spawn")
    outcome = context.Queue()
    workers = [context.Process(target=copy_over_and_over, args=(opener, tmp_path / "c", outcome)) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = [outcome.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    outcome.close()
    outcome.join_thread()
    assert len({folder for folder, _ in answers}) == 1
    assert all(is_whole for _, is_whole in answers)


NAMES = st.text(st.sampled_from("abc-_"), min_size=1, max_size=4)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=4), number=st.integers(0, 10**9))
def test_whatever_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], number: int
) -> None:
    home = tmp_path_factory.mktemp("folder")
    store = LocalStore(home / "store")
    folder_key = f"reports/x/{number:012x}"
    index, _ = published(store, filled(home / "source", content), folder_key)
    assert content_of(materialise(store, folder_key, home / "cache")) == content
    assert FolderIndex.model_validate_json(store.read(index_key(folder_key))) == index
