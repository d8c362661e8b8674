"""Going back to what was approved before."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, PromotionConflict, PromotionError
from lesion_core.keys import index_key
from lesion_core.refs import ModelRef
from lesion_core.registry import channel_history as channel_history
from lesion_core.registry import channels
from lesion_core.registry.channels import approved_model, clear_channel, history, move_channel, read_channel, rollback
from lesion_core.registry.protocol import ChannelEvent, ChannelState, Clock
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.registry.conftest import make_model, ticking


def approve(store: Store, model: ModelRef, clock: Clock, gate_key: str | None = None) -> ChannelState:
    return move_channel(
        store, "approved", model, action="approve", approver="A", reason="good", gate_key=gate_key, clock=clock
    )


def go_back(store: Store, clock: Clock) -> ChannelState:
    return rollback(store, "approved", approver="B", reason="worse in the clinic", clock=clock)


def test_rolling_back_serves_what_was_approved_before(store: Store, tmp_path: Path, clock: Clock) -> None:
    first, second = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    approve(store, first, clock, gate_key="gates/a.json")
    approve(store, second, clock, gate_key="gates/b.json")
    state = go_back(store, clock)
    assert state.model == first == approved_model(store)
    assert (state.action, state.number, state.previous_model_id) == ("rollback", 3, second.id)
    assert state.gate_key == "gates/a.json", "it rests on the decision that approved it"
    assert history(store, "approved")[-1].reason == "worse in the clinic"


def test_a_second_rollback_goes_further_back_not_forth(store: Store, tmp_path: Path, clock: Clock) -> None:
    models = [make_model(store, tmp_path, name) for name in "abc"]
    for model in models:
        approve(store, model, clock)
    assert go_back(store, clock).model == models[1]
    assert go_back(store, clock).model == models[0]
    with pytest.raises(PromotionError, match="approve another model"):
        go_back(store, clock)
    assert approved_model(store) == models[0]


def test_nothing_to_go_back_to_is_said_in_words(store: Store, tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(PromotionError, match="found none in its history"):
        go_back(store, clock)
    approve(store, make_model(store, tmp_path, "a"), clock)
    with pytest.raises(PromotionError, match="found none in its history"):
        go_back(store, clock)


def test_a_withdrawn_model_is_not_come_back_to(store: Store, tmp_path: Path, clock: Clock) -> None:
    first, second = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    approve(store, first, clock)
    approve(store, second, clock)
    clear_channel(store, "approved", approver="A", reason="harmful", clock=clock)
    assert go_back(store, clock).model == first


def test_a_former_model_that_is_gone_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    first, second = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    approve(store, first, clock)
    approve(store, second, clock)
    store.remove(index_key(first.key))
    with pytest.raises(ArtifactNotFound, match=first.id):
        go_back(store, clock)
    assert approved_model(store) == second


def test_a_former_model_that_was_exchanged_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    first, second = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    approve(store, first, clock)
    approve(store, second, clock)
    key = index_key(first.key)
    store.write(key, store.read(key).replace(b'"step":"train"', b'"step":"other"'))
    with pytest.raises(ArtifactCorrupt, match="as it was approved"):
        go_back(store, clock)
    assert approved_model(store) == second


def test_a_rollback_that_lost_a_race_moves_nothing(
    store: Store, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (make_model(store, tmp_path, name) for name in "abc")
    approve(store, first, clock)
    approve(store, second, clock)

    def read_then_lose(store: Store, channel: str) -> list[ChannelEvent]:
        events = channel_history.read_events(store, channel)
        approve(store, third, clock)
        return events

    monkeypatch.setattr(channels, "read_events", read_then_lose)
    with pytest.raises(PromotionConflict):
        go_back(store, clock)
    assert approved_model(store) == third


def test_a_channel_behaves_as_a_stack_of_standing_versions(tmp_path_factory: pytest.TempPathFactory) -> None:
    class Channel(RuleBasedStateMachine):
        """Approvals, withdrawals and rollbacks in any order, against a plain list."""

        @initialize()
        def begin(self) -> None:
            home = tmp_path_factory.mktemp("channel")
            self.store = LocalStore(home / "store")
            self.models = [make_model(self.store, home, name) for name in "abc"]
            self.clock = ticking()
            self.standing: list[ModelRef] = []
            self.present: ModelRef | None = None
            self.n_moves = 0

        @rule(number=st.integers(0, 2))
        def approve(self, number: int) -> None:
            model = self.models[number]
            approve(self.store, model, self.clock)
            if model != self.present:
                self.standing = [other for other in self.standing if other != model] + [model]
                self.present = model
                self.n_moves += 1

        @rule()
        def withdraw(self) -> None:
            clear_channel(self.store, "approved", approver="A", reason="harmful", clock=self.clock)
            if self.present is not None:
                self.standing.pop()
                self.present = None
                self.n_moves += 1

        @rule()
        def go_back(self) -> None:
            earlier = self.standing if self.present is None else self.standing[:-1]
            if not earlier:
                with pytest.raises(PromotionError):
                    go_back(self.store, self.clock)
                return
            assert go_back(self.store, self.clock).model == earlier[-1]
            self.standing, self.present = list(earlier), earlier[-1]
            self.n_moves += 1

        @invariant()
        def the_channel_points_at_the_present_one(self) -> None:
            state, _ = read_channel(self.store, "approved")
            assert (state.model if state else None) == self.present

        @invariant()
        def every_move_is_in_the_history(self) -> None:
            events = history(self.store, "approved")
            assert [event.number for event in events] == list(range(1, self.n_moves + 1))
            ids = [event.model_id for event in events]
            assert [event.previous_model_id for event in events] == [None, *ids][: self.n_moves]

    run_state_machine_as_test(Channel, settings=settings(max_examples=15, stateful_step_count=12, deadline=None))
