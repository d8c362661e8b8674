"""Creating and replacing on condition: at most one wins, and where that cannot be had it is refused."""

import multiprocessing
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from lesion_core.errors import StoreConflict, StoreRefused
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.stores.conftest import s3_store
from tests.servers import S3Server

KEY = "channels/approved.json"
N_WRITERS = 16
N_ROUNDS = 12


def test_a_store_that_honours_conditions_proves_it(honouring: Store) -> None:
    assert honouring.honours_conditions()
    assert list(honouring.list("")) == [], "the proof leaves nothing behind"


def test_creating_stores_once(honouring: Store) -> None:
    tag = honouring.create(KEY, b"first")
    assert honouring.read_tagged(KEY) == (b"first", tag)
    with pytest.raises(StoreConflict) as caught:
        honouring.create(KEY, b"second")
    assert KEY in caught.value.key
    assert honouring.read(KEY) == b"first"


def test_replacing_needs_the_present_tag(honouring: Store) -> None:
    first = honouring.create(KEY, b"first")
    second = honouring.replace(KEY, b"second", first)
    assert honouring.read_tagged(KEY) == (b"second", second)
    with pytest.raises(StoreConflict):
        honouring.replace(KEY, b"third", first)
    assert honouring.read(KEY) == b"second"


def test_replacing_what_is_gone_is_a_conflict(honouring: Store) -> None:
    tag = honouring.create(KEY, b"first")
    honouring.remove(KEY)
    with pytest.raises(StoreConflict):
        honouring.replace(KEY, b"second", tag)
    assert honouring.stat(KEY) is None


def test_a_plain_write_between_reading_and_replacing_is_not_lost(honouring: Store) -> None:
    tag = honouring.create(KEY, b"first")
    honouring.write(KEY, b"written between")
    with pytest.raises(StoreConflict):
        honouring.replace(KEY, b"second", tag)
    assert honouring.read(KEY) == b"written between"


def race(write: Callable[[bytes], str], pool: ThreadPoolExecutor) -> list[bytes]:
    """Let all writers write at once, each a body that never was; return those whose write succeeded."""
    start = Barrier(N_WRITERS)

    def attempt(number: int) -> bytes | None:
        body = f"writer {number} {uuid.uuid4()}".encode()
        start.wait()
        try:
            write(body)
        except StoreConflict:
            return None
        return body

    return [body for body in pool.map(attempt, range(N_WRITERS)) if body is not None]


def test_of_sixteen_writers_at_once_exactly_one_wins_each_round(honouring: Store) -> None:
    with ThreadPoolExecutor(N_WRITERS) as pool:
        for number in range(N_ROUNDS):
            key = f"events/approved/{number:08d}.json"
            winners = race(lambda body, key=key: honouring.create(key, body), pool)  # type: ignore[misc]
            assert winners == [honouring.read(key)]
        honouring.create(KEY, b"start")
        for _ in range(N_ROUNDS):
            tag = honouring.read_tagged(KEY)[1]
            winners = race(lambda body, tag=tag: honouring.replace(KEY, body, tag), pool)  # type: ignore[misc]
            assert winners == [honouring.read(KEY)]


def count_up(root: Path, n_steps: int) -> None:
    store = LocalStore(root)
    for _ in range(n_steps):
        while True:
            body, tag = store.read_tagged(KEY)
            try:
                store.replace(KEY, str(int(body) + 1).encode(), tag)
                break
            except StoreConflict:
                continue


def test_processes_that_count_in_one_file_lose_no_step(tmp_path: Path) -> None:
    LocalStore(tmp_path).create(KEY, b"0")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=count_up, args=(tmp_path, 40)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert LocalStore(tmp_path).read(KEY) == b"120"


def test_a_server_that_ignores_conditions_is_found_out(rclone: S3Server) -> None:
    store = s3_store(rclone)
    assert not store.honours_conditions()
    assert list(store.list("")) == []


def test_on_such_a_server_nothing_is_stored_on_condition(rclone: S3Server) -> None:
    store = s3_store(rclone)
    store.write(KEY, b"first")
    with pytest.raises(StoreRefused, match=r"ignores them.*MinIO or AWS"):
        store.create("events/approved/00000001.json", b"event")
    with pytest.raises(StoreRefused, match=r"ignores them.*MinIO or AWS"):
        store.replace(KEY, b"second", store.read_tagged(KEY)[1])
    assert list(store.list("")) == [KEY]
    assert store.read(KEY) == b"first"
