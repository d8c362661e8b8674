"""Channels: the only mutable objects. Each points at a model version and keeps its history.

How they lie in the store, and why a crash loses nothing, is described in ``registry/channel_history.py``.
"""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from lesion_core.errors import ArtifactCorrupt, ConfigError, ModelNotReady, PromotionError, StoreRefused
from lesion_core.refs import ModelRef
from lesion_core.registry.channel_history import (
    Pointer,
    conflict,
    read_events,
    read_pointer,
    record,
    require_no_history,
    swap,
)
from lesion_core.registry.protocol import Action, ChannelEvent, ChannelState, Clock
from lesion_core.registry.versions import get_model
from lesion_core.stores.folders import get_index
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey

__all__ = [
    "APPROVED",
    "CANDIDATE",
    "Action",
    "ChannelEvent",
    "ChannelState",
    "approved_model",
    "clear_channel",
    "history",
    "move_channel",
    "read_channel",
    "rollback",
]


APPROVED = "approved"
CANDIDATE = "candidate"


@dataclasses.dataclass(frozen=True, slots=True)
class _Decision:
    action: Action
    approver: str
    reason: str
    gate_key: StoreKey | None


def read_channel(store: Store, channel: str) -> tuple[ChannelState | None, str | None]:
    """Return what a channel points at, and the tag of that version of the channel.

    The state is ``None`` where the channel points at nothing; the tag is ``None`` too where it never did.
    While ``store.stat(channel_key(channel))`` still has that tag, the channel has not moved.

    Raises:
        ArtifactCorrupt: The channel's object is there but is none.
    """
    pointer, tag = read_pointer(store, channel)
    if pointer is None or pointer.model is None:
        return None, tag
    return _state(pointer, pointer.model), tag


def approved_model(store: Store) -> ModelRef:
    """Return the model that the channel 'approved' points at.

    Raises:
        ModelNotReady: It points at nothing.
        ArtifactCorrupt: The channel's object is there but is none.
    """
    state, _ = read_channel(store, APPROVED)
    if state is None:
        raise ModelNotReady(
            f"expected an approved model in {store.url}, found none; run the flow 'pipeline', or approve a model "
            "with the flow 'approve'"
        )
    return state.model


def move_channel(
    store: Store,
    channel: str,
    model: ModelRef,
    *,
    action: Action,
    approver: str,
    reason: str,
    gate_key: StoreKey | None = None,
    clock: Clock,
    expected_number: int | None = None,
) -> ChannelState:
    """Point a channel at ``model``, and record who decided it and why.

    Where it points at that very version already, nothing changes and the present state is returned, whatever
    ``expected_number`` says: a repeated request is one decision.

    Args:
        store: Must honour conditions.
        channel: 'approved' or 'candidate'.
        model: A version whose folder is complete.
        action: What kind of decision it was.
        approver: Who decided.
        reason: Why.
        gate_key: Key of the gate decision it rests on.
        clock: Returns the time, with its zone.
        expected_number: ``ChannelState.number`` that the decision was made upon (0: nothing there yet);
            ``None`` means whatever is there now.

    Raises:
        PromotionConflict: Somebody else moved the channel since ``expected_number``, or meanwhile.
        ArtifactNotFound: The model's folder is not complete.
        ArtifactCorrupt: The model's stored index is not the one that ``model`` refers to.
        StoreRefused: The store does not honour conditions, so no channel can be moved there.
        ConfigError: Approver or reason is missing or too long.
    """
    get_index(store, model)
    decision = _Decision(action=action, approver=approver, reason=reason, gate_key=gate_key)
    return _state(_move(store, channel, model, decision, clock, expected_number), model)


def clear_channel(
    store: Store,
    channel: str,
    *,
    approver: str,
    reason: str,
    gate_key: StoreKey | None = None,
    clock: Clock,
    expected_number: int | None = None,
) -> None:
    """Point a channel at nothing: a rejected candidate, or an approved model taken out of service.

    Where it points at nothing already, nothing changes. Arguments and errors are those of ``move_channel``.
    """
    if read_pointer(store, channel)[0] is not None:
        decision = _Decision(action="reject", approver=approver, reason=reason, gate_key=gate_key)
        _move(store, channel, None, decision, clock, expected_number)


def history(store: Store, channel: str) -> list[ChannelEvent]:
    """Return a channel's events, oldest first.

    Raises:
        ArtifactCorrupt: An event is missing, or its object is none.
    """
    return read_events(store, channel)


def rollback(store: Store, channel: str, *, approver: str, reason: str, clock: Clock) -> ChannelState:
    """Point a channel back at the version that was approved before the present one.

    A second rollback goes one further back, not forth again; a version that was rolled back or taken away
    is never come back to unless it was approved anew.

    Raises:
        PromotionError: Nothing was approved before.
        PromotionConflict: Somebody else moved the channel meanwhile.
        ArtifactNotFound: The former version is no longer stored.
        ArtifactCorrupt: Its stored index is not the one that was approved.
        StoreRefused: The store does not honour conditions.
    """
    events = history(store, channel)
    current = events[-1] if events else None
    earlier = _standing(events)
    if current is not None and current.model_id is not None:
        earlier = earlier[:-1]
    if current is None or not earlier:
        raise PromotionError(
            f"expected a version approved before the present one in channel {channel!r}, found none in its history; "
            "approve another model instead",
            channel=channel,
        )
    former = earlier[-1]
    model = get_model(store, str(former.model_id))
    if model.sha256 != former.model_sha256:
        raise ArtifactCorrupt(
            f"expected model {model.id!r} as it was approved (index sha256 {former.model_sha256}), got "
            f"{model.sha256}; restore it from a backup, or approve another model",
            key=model.key,
            expected=former.model_sha256,
            actual=model.sha256,
        )
    return move_channel(
        store,
        channel,
        model,
        action="rollback",
        approver=approver,
        reason=reason,
        gate_key=former.gate_key,
        clock=clock,
        expected_number=current.number,
    )


def _standing(events: Sequence[ChannelEvent]) -> list[ChannelEvent]:
    """Return the events whose versions stand, oldest first; the last is the present one, if there is one."""
    standing: list[ChannelEvent] = []
    for event in events:
        if event.model_id is None:
            standing = standing[:-1] if event.previous_model_id is not None else standing
        elif event.action == "rollback":
            while standing and standing[-1].model_id != event.model_id:
                standing.pop()
        else:
            standing = [other for other in standing if other.model_id != event.model_id]
            standing.append(event)
    return standing


def _move(
    store: Store,
    channel: str,
    model: ModelRef | None,
    decision: _Decision,
    clock: Clock,
    expected_number: int | None,
) -> Pointer:
    _require_conditions(store, channel)
    pointer, tag = read_pointer(store, channel)
    number = pointer.event.number if pointer else 0
    if pointer is None:
        require_no_history(store, channel)
    else:
        record(store, pointer.event)
        if pointer.model == model:
            return pointer
    if expected_number is not None and expected_number != number:
        raise conflict(channel, expected_number, number)
    event = _checked_event(
        number=number + 1,
        channel=channel,
        model_id=model.id if model else None,
        model_sha256=model.sha256 if model else None,
        previous_model_id=pointer.event.model_id if pointer else None,
        at=clock().astimezone(datetime.UTC).isoformat(),
        **dataclasses.asdict(decision),
    )
    moved = Pointer(model=model, event=event)
    swap(store, moved, tag)
    record(store, event)
    return moved


def _checked_event(**fields: Any) -> ChannelEvent:
    try:
        return ChannelEvent(**fields)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"expected a decision that can be recorded, got {problems}; correct the form") from error


def _state(pointer: Pointer, model: ModelRef) -> ChannelState:
    taken = pointer.event.model_dump(exclude={"model_id", "model_sha256"})
    return ChannelState(model=model, **taken)


def _require_conditions(store: Store, channel: str) -> None:
    if not store.honours_conditions():
        raise StoreRefused(
            f"expected a store that honours conditional writes, but {store.url} does not, so channel {channel!r} "
            "cannot be moved there safely; use MinIO, AWS S3 or a local directory",
            channel=channel,
        )
