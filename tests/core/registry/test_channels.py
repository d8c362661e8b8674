"""Moving a channel: one winner, nothing forgotten, no way around the rules."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from lesion_core.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    ConfigError,
    ModelNotReady,
    PromotionConflict,
    StoreRefused,
    StoreUnavailable,
)
from lesion_core.keys import channel_key, event_key, index_key
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import (
    approved_model,
    clear_channel,
    history,
    move_channel,
    read_channel,
)
from lesion_core.registry.protocol import ChannelState, Clock
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.registry.conftest import make_model, s3_store, ticking
from tests.servers import S3Server


def move(store: Store, model: ModelRef, clock: Clock, **changes: Any) -> ChannelState:
    facts: dict[str, Any] = {"action": "approve", "approver": "Dr. Weiß", "reason": "passed the gate"}
    return move_channel(store, "approved", model, clock=clock, **{**facts, **changes})


def test_a_channel_that_never_moved_points_at_nothing(store: Store) -> None:
    assert read_channel(store, "approved") == (None, None)
    assert history(store, "approved") == []
    with pytest.raises(ModelNotReady, match="flow 'approve'"):
        approved_model(store)


def test_a_move_is_read_with_who_and_why(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    state = move(store, model, clock, gate_key="gates/quick/00000000000a/1.json")
    assert state.model == model
    assert state.number == 1
    assert (state.approver, state.reason, state.action) == ("Dr. Weiß", "passed the gate", "approve")
    assert state.at == "2025-03-01T12:01:00+00:00"
    assert state.gate_key == "gates/quick/00000000000a/1.json"
    assert state.previous_model_id is None
    read, tag = read_channel(store, "approved")
    stat = store.stat(channel_key("approved"))
    assert read == state
    assert stat is not None
    assert stat.tag == tag
    assert approved_model(store) == model


def test_history_tells_every_move_in_order(store: Store, tmp_path: Path, clock: Clock) -> None:
    first, second = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    move(store, first, clock)
    move(store, second, clock, reason="better")
    clear_channel(store, "approved", approver="IT", reason="withdrawn", clock=clock)
    events = history(store, "approved")
    assert [event.number for event in events] == [1, 2, 3]
    assert [event.model_id for event in events] == [first.id, second.id, None]
    assert [event.previous_model_id for event in events] == [None, first.id, second.id]
    assert [event.model_sha256 for event in events] == [first.sha256, second.sha256, None]
    assert [event.action for event in events] == ["approve", "approve", "reject"]
    assert [event.reason for event in events] == ["passed the gate", "better", "withdrawn"]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert list(store.list("events/")) == [event_key("approved", number) for number in (1, 2, 3)]


def test_a_cleared_channel_points_at_nothing_but_has_been(store: Store, tmp_path: Path, clock: Clock) -> None:
    clear_channel(store, "candidate", approver="IT", reason="nothing there", clock=clock)
    assert read_channel(store, "candidate") == (None, None)
    move_channel(
        store,
        "candidate",
        make_model(store, tmp_path, "a"),
        action="nominate",
        approver="flow",
        reason="-",
        clock=clock,
    )
    clear_channel(store, "candidate", approver="IT", reason="rejected", clock=clock)
    clear_channel(store, "candidate", approver="IT", reason="rejected again", clock=clock)
    state, tag = read_channel(store, "candidate")
    assert state is None
    assert tag is not None
    assert [event.reason for event in history(store, "candidate")] == ["-", "rejected"]


def test_channels_are_apart(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    move_channel(store, "candidate", model, action="nominate", approver="flow", reason="-", clock=clock)
    assert read_channel(store, "approved") == (None, None)
    assert history(store, "approved") == []


def test_a_repeated_request_is_one_decision(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    first = move(store, model, clock, expected_number=0)
    assert move(store, model, clock, expected_number=0, reason="again") == first
    assert len(history(store, "approved")) == 1


def test_a_decision_upon_an_old_state_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    first, second, third = (make_model(store, tmp_path, name) for name in "abc")
    seen = move(store, first, clock)
    move(store, second, clock)
    with pytest.raises(PromotionConflict, match="decide again") as caught:
        move(store, third, clock, expected_number=seen.number)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert approved_model(store) == second


def test_a_model_that_is_not_stored_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    store.remove(index_key(model.key))
    with pytest.raises(ArtifactNotFound, match=model.key):
        move(store, model, clock)
    assert read_channel(store, "approved") == (None, None)


def test_a_model_with_another_digest_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    forged = make_model(store, tmp_path, "a").model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ArtifactCorrupt) as caught:
        move(store, forged, clock)
    assert caught.value.expected == "0" * 64
    assert read_channel(store, "approved") == (None, None)


@pytest.mark.parametrize("field", ["approver", "reason"])
@pytest.mark.parametrize("value", ["", "x" * 2001])
def test_a_decision_without_who_and_why_is_refused(tmp_path: Path, clock: Clock, field: str, value: str) -> None:
    store = LocalStore(tmp_path / "store")
    with pytest.raises(ConfigError, match=field):
        move(store, make_model(store, tmp_path, "a"), clock, **{field: value})
    assert read_channel(store, "approved") == (None, None)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"model": null}'])
def test_a_channel_that_is_none_is_refused(tmp_path: Path, body: bytes) -> None:
    store = LocalStore(tmp_path)
    store.write(channel_key("approved"), body)
    with pytest.raises(ArtifactCorrupt, match="backup"):
        read_channel(store, "approved")


def test_where_conditions_are_not_honoured_no_channel_moves(rclone: S3Server, tmp_path: Path, clock: Clock) -> None:
    store = s3_store(rclone)
    model = make_model(store, tmp_path, "a")
    with pytest.raises(StoreRefused, match="MinIO, AWS S3 or a local directory"):
        move(store, model, clock)
    assert list(store.list("channels/")) == list(store.list("events/")) == []


class CrashingStore(LocalStore):
    """A directory that a process loses after it moved the channel and before it wrote the event."""

    def create(self, key: str, body: bytes) -> str:
        if key.startswith("events/"):
            raise StoreUnavailable("the process died here")
        return super().create(key, body)


def test_an_event_lost_in_a_crash_is_read_from_the_channel_itself(tmp_path: Path, clock: Clock) -> None:
    sound, crashing = LocalStore(tmp_path / "store"), CrashingStore(tmp_path / "store")
    model = make_model(sound, tmp_path, "a")
    with pytest.raises(StoreUnavailable):
        move(crashing, model, clock, reason="the only one")
    assert approved_model(sound) == model
    assert [event.reason for event in history(sound, "approved")] == ["the only one"]
    assert list(sound.list("events/")) == [], "reading writes nothing"


def test_an_event_lost_in_a_crash_is_written_before_the_next_move(tmp_path: Path, clock: Clock) -> None:
    sound, crashing = LocalStore(tmp_path / "store"), CrashingStore(tmp_path / "store")
    first, second = make_model(sound, tmp_path, "a"), make_model(sound, tmp_path, "b")
    with pytest.raises(StoreUnavailable):
        move(crashing, first, clock)
    with pytest.raises(StoreUnavailable):
        move(crashing, second, clock)
    assert approved_model(sound) == first, "nothing moves before the last move is recorded"
    move(sound, second, clock)
    assert list(sound.list("events/")) == [event_key("approved", 1), event_key("approved", 2)]
    assert [event.model_id for event in history(sound, "approved")] == [first.id, second.id]


def test_an_event_lost_in_a_crash_is_written_when_the_request_is_repeated(tmp_path: Path, clock: Clock) -> None:
    sound, crashing = LocalStore(tmp_path / "store"), CrashingStore(tmp_path / "store")
    model = make_model(sound, tmp_path, "a")
    with pytest.raises(StoreUnavailable):
        move(crashing, model, clock, expected_number=0)
    assert move(sound, model, clock, expected_number=0).number == 1
    assert list(sound.list("events/")) == [event_key("approved", 1)]
    assert len(history(sound, "approved")) == 1


def test_a_gap_in_the_history_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    for name in "abc":
        move(store, make_model(store, tmp_path, name), clock)
    store.remove(event_key("approved", 2))
    with pytest.raises(ArtifactCorrupt, match="backup"):
        history(store, "approved")


def test_a_rewritten_history_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    move(store, make_model(store, tmp_path, "a"), clock)
    key = event_key("approved", 1)
    store.write(key, store.read(key).replace("Dr. Weiß".encode(), b"Somebody"))
    with pytest.raises(ArtifactCorrupt):
        history(store, "approved")
    with pytest.raises(ArtifactCorrupt):
        move(store, make_model(store, tmp_path, "b"), clock)


def test_a_channel_that_vanished_is_not_begun_anew(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    move(store, model, clock)
    store.remove(channel_key("approved"))
    with pytest.raises(ArtifactCorrupt, match="gone"):
        move(store, model, clock)
    with pytest.raises(ArtifactCorrupt):
        history(store, "approved")


def test_of_many_decisions_upon_one_state_exactly_one_holds(store: Store, tmp_path: Path, clock: Clock) -> None:
    n_deciders = 8
    models = [make_model(store, tmp_path, f"{number:x}") for number in range(n_deciders)]
    for number in range(4):
        start = Barrier(n_deciders)
        shift = models[number:] + models[:number]

        def decide(model: ModelRef, number: int = number, start: Barrier = start) -> ModelRef | None:
            start.wait()
            try:
                return move(store, model, ticking(), expected_number=number).model
            except PromotionConflict:
                return None

        present = read_channel(store, "approved")[0]
        with ThreadPoolExecutor(n_deciders) as pool:
            answers = [model for model in pool.map(decide, shift) if model is not None]
        winner = approved_model(store)
        # Whoever asked for what was there already got that answer; that moved nothing.
        assert [model for model in answers if present is None or model != present.model] == [winner]
        assert [event.number for event in history(store, "approved")] == list(range(1, number + 2))


def move_over_and_over(root: Path, models: list[ModelRef], n_moves: int) -> None:
    store = LocalStore(root)
    n_done = 0
    while n_done < n_moves:
        state, _ = read_channel(store, "approved")
        wanted = next(model for model in models if state is None or model != state.model)
        try:
            move(store, wanted, ticking(), expected_number=state.number if state else 0)
            n_done += 1
        except PromotionConflict:
            continue


def test_processes_that_move_one_channel_forget_no_move(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    models = [make_model(store, tmp_path, name) for name in "abcd"]
    context = multiprocessing.get_context("spawn")
    pairs = [models[:2], models[2:]]
    workers = [context.Process(target=move_over_and_over, args=(tmp_path / "store", pair, 10)) for pair in pairs]
    for worker in workers:
        worker.start()
    for number in watched_numbers(store, workers):
        assert number == sorted(number)
    assert [worker.exitcode for worker in workers] == [0, 0]
    events = history(store, "approved")
    assert len(events) == 20
    assert [e.previous_model_id for e in events[1:]] == [e.model_id for e in events[:-1]]


def watched_numbers(store: Store, workers: list[Any]) -> Iterator[list[int]]:
    """Read the history again and again while others write it; it must never look broken."""
    while any(worker.is_alive() for worker in workers):
        yield [event.number for event in history(store, "approved")]
    for worker in workers:
        worker.join()
