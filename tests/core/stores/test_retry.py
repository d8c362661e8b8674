"""What is repeated, how often, and what is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion_core.errors import LesionError, StoreConflict, StoreRefused, StoreUnavailable
from lesion_core.stores.local import LocalStore
from lesion_core.stores.retry import RetryingStore


class FlakyStore(LocalStore):
    """A directory whose requests fail as planned, before or after they took effect."""

    def __init__(self, root: Path, faults: list[LesionError | None], *, after: bool = False) -> None:
        super().__init__(root)
        self.faults = faults
        self.after = after
        self.n_requests = 0

    def _fail(self) -> None:
        self.n_requests += 1
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault

    def write(self, key: str, source: bytes | BinaryIO) -> None:
        if self.faults and not isinstance(source, bytes):
            source.read(3)  # what a request that fails has taken already
        self._fail()
        super().write(key, source)

    def create(self, key: str, body: bytes) -> str:
        if not self.after:
            self._fail()
        tag = super().create(key, body)
        if self.after:
            self._fail()
        return tag

    def replace(self, key: str, body: bytes, expected_tag: str) -> str:
        tag = super().replace(key, body, expected_tag)
        self._fail()
        return tag

    def list(self, prefix: str) -> Iterator[str]:
        for key in super().list(prefix):
            self._fail()
            yield key


def unavailable(n_times: int) -> list[LesionError | None]:
    return [StoreUnavailable("no answer") for _ in range(n_times)]


def patient(store: FlakyStore, pauses: list[float], **changes: Any) -> RetryingStore:
    return RetryingStore(store, **{"attempts": 4, "sleep": pauses.append, "chance": lambda: 1.0, **changes})


def test_it_repeats_until_the_store_answers(tmp_path: Path) -> None:
    pauses: list[float] = []
    flaky = FlakyStore(tmp_path, unavailable(3))
    patient(flaky, pauses, base_seconds=0.5).write("a", b"x")
    assert flaky.read("a") == b"x"
    assert pauses == [0.5, 1.0, 2.0]


def test_it_gives_up_with_the_stores_own_error(tmp_path: Path) -> None:
    flaky = FlakyStore(tmp_path, unavailable(9))
    with pytest.raises(StoreUnavailable, match="no answer"):
        patient(flaky, []).write("a", b"x")
    assert flaky.n_requests == 4


def test_it_repeats_nothing_that_is_not_transient(tmp_path: Path) -> None:
    flaky = FlakyStore(tmp_path, [StoreRefused("wrong credential")])
    with pytest.raises(StoreRefused):
        patient(flaky, []).write("a", b"x")
    assert flaky.n_requests == 1


def test_a_stream_is_sent_again_from_its_start(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"0123456789")
    flaky = FlakyStore(tmp_path / "store", unavailable(2))
    with (tmp_path / "source").open("rb") as stream:
        stream.seek(2)
        patient(flaky, []).write("a", stream)
    assert flaky.read("a") == b"23456789"


def test_what_was_created_before_the_answer_was_lost_counts_as_won(tmp_path: Path) -> None:
    store = patient(FlakyStore(tmp_path, unavailable(1), after=True), [])
    tag = store.create("a", b"mine")
    assert store.read_tagged("a") == (b"mine", tag)


def test_what_was_replaced_before_the_answer_was_lost_counts_as_won(tmp_path: Path) -> None:
    flaky = FlakyStore(tmp_path, [None, *unavailable(1)])
    store = patient(flaky, [])
    tag = store.replace("a", b"mine", store.create("a", b"first"))
    assert store.read_tagged("a") == (b"mine", tag)


def test_what_somebody_else_created_meanwhile_is_lost(tmp_path: Path) -> None:
    LocalStore(tmp_path).create("a", b"theirs")
    flaky = FlakyStore(tmp_path, unavailable(1))
    with pytest.raises(StoreConflict):
        patient(flaky, []).create("a", b"mine")
    assert flaky.read("a") == b"theirs"


def test_the_same_bytes_of_somebody_else_are_no_victory_at_once(tmp_path: Path) -> None:
    LocalStore(tmp_path).create("a", b"same")
    with pytest.raises(StoreConflict):
        patient(FlakyStore(tmp_path, []), []).create("a", b"same")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=12))
def test_a_listing_that_breaks_goes_on_where_it_was(
    tmp_path_factory: pytest.TempPathFactory, breaks: list[bool]
) -> None:
    root = tmp_path_factory.mktemp("listing")
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        LocalStore(root).write(key, b"x")
    flaky = FlakyStore(root, [StoreUnavailable("no answer") if broken else None for broken in breaks])
    assert list(patient(flaky, [], attempts=20).list("")) == keys


@settings(deadline=None)
@given(st.integers(1, 8), st.floats(0.01, 2), st.floats(0.01, 4), st.floats(0, 0.999))
def test_pauses_grow_to_their_bound_and_no_further(
    tmp_path_factory: pytest.TempPathFactory, attempts: int, base: float, longest: float, chance: float
) -> None:
    pauses: list[float] = []
    flaky = FlakyStore(tmp_path_factory.getbasetemp() / "unused", unavailable(20))
    store = patient(
        flaky, pauses, attempts=attempts, base_seconds=base, longest_seconds=longest, chance=lambda: chance
    )
    with pytest.raises(StoreUnavailable):
        store.write("a", b"x")
    assert flaky.n_requests == attempts
    assert pauses == [chance * min(base * 2**number, longest) for number in range(attempts - 1)]
