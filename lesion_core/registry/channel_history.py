"""How a channel and its events lie in the store.

``channels/<channel>.json`` holds the model and, whole, the event that put it there; replacing it by
compare-and-swap is the one act that moves a channel. ``events/<channel>/<number>.json`` holds every event,
created once. An event is written after the act, so a crash between the two leaves at most the newest event
unwritten; it is not lost, because the channel itself holds it. ``read_events`` adds it from there, and the
next move writes it before it moves anything. Nobody who only reads ever writes.
"""

import hashlib
from typing import TypeVar

from pydantic import ValidationError

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, PromotionConflict, StoreConflict
from lesion_core.keys import canonical_json, channel_key, event_key
from lesion_core.refs import ModelRef
from lesion_core.registry.protocol import ChannelEvent
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey, Value

_V = TypeVar("_V", bound=Value)


class Pointer(Value):
    """Content of ``channels/<channel>.json``."""

    model: ModelRef | None
    event: ChannelEvent


def read_pointer(store: Store, channel: str) -> tuple[Pointer | None, str | None]:
    """Return a channel's content and tag, or two ``None`` where it has never been moved."""
    key = channel_key(channel)
    try:
        body, tag = store.read_tagged(key)
    except ArtifactNotFound:
        return None, None
    return _parsed(Pointer, key, body), tag


def read_events(store: Store, channel: str) -> list[ChannelEvent]:
    """Return a channel's events, oldest first, with the newest from the channel itself if it is unwritten.

    Raises:
        ArtifactCorrupt: An event is missing, or an object is none.
    """
    prefix = _events_prefix(channel)
    events = [_parsed(ChannelEvent, key, store.read(key)) for key in store.list(prefix)]
    # Read after the events, the channel is never behind them; where it is ahead, it vouches for all but its own.
    pointer, _ = read_pointer(store, channel)
    newest = pointer.event.number if pointer else 0
    for number in range(len(events) + 1, newest):
        events.append(_read_event(store, channel, number))
    if pointer is not None and len(events) == newest - 1:
        events.append(pointer.event)
    numbers = [event.number for event in events]
    if numbers != list(range(1, newest + 1)) or (pointer is not None and events[-1] != pointer.event):
        raise _broken_history(channel, newest, f"events {numbers}")
    return events


def swap(store: Store, moved: Pointer, tag: str | None) -> None:
    """Replace a channel whose tag is still ``tag``; raises ``PromotionConflict``."""
    key, body = channel_key(moved.event.channel), canonical_json(moved.model_dump(mode="json"))
    try:
        if tag is None:
            store.create(key, body)
        else:
            store.replace(key, body, tag)
    except StoreConflict as error:
        now, _ = read_pointer(store, moved.event.channel)
        expected = moved.event.number - 1
        raise conflict(moved.event.channel, expected, now.event.number if now else 0) from error


def record(store: Store, event: ChannelEvent) -> None:
    """Write an event unless it is written; what is written never changes."""
    key, body = event_key(event.channel, event.number), canonical_json(event.model_dump(mode="json"))
    try:
        store.create(key, body)
    except StoreConflict as error:
        if (stored := store.read(key)) != body:
            raise ArtifactCorrupt(
                f"expected {key!r} to hold the event that channel {event.channel!r} itself holds, got another; "
                "restore both from one backup",
                key=key,
                expected=hashlib.sha256(body).hexdigest(),
                actual=hashlib.sha256(stored).hexdigest(),
            ) from error


def require_no_history(store: Store, channel: str) -> None:
    """Make sure that a channel that is not there never was: else its next event would contradict its first.

    Raises:
        PromotionConflict: It has come into being meanwhile.
        ArtifactCorrupt: It has events but is gone.
    """
    if next(store.list(_events_prefix(channel)), None) is None:
        return
    pointer, _ = read_pointer(store, channel)
    if pointer is not None:
        raise conflict(channel, 0, pointer.event.number)
    raise _broken_history(channel, 0, "events of a channel that is gone")


def conflict(channel: str, expected: int, actual: int) -> PromotionConflict:
    """Return the error of a channel that stands at another event than expected."""
    return PromotionConflict(
        f"expected channel {channel!r} at event {expected}, but somebody moved it (now at {actual}); look at what it "
        "points at now and decide again",
        channel=channel,
        expected=expected,
        actual=actual,
    )


def _parsed(value_type: type[_V], key: StoreKey, body: bytes) -> _V:
    try:
        return value_type.model_validate_json(body)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected a {value_type.__name__} at {key!r}, got something else ({error.error_count()} "
            "fields wrong); restore it from a backup",
            key=key,
            expected=value_type.__name__,
            actual=hashlib.sha256(body).hexdigest(),
        ) from error


def _read_event(store: Store, channel: str, number: int) -> ChannelEvent:
    key = event_key(channel, number)
    try:
        return _parsed(ChannelEvent, key, store.read(key))
    except ArtifactNotFound as error:
        raise _broken_history(channel, number, "nothing") from error


def _broken_history(channel: str, number: int, actual: str) -> ArtifactCorrupt:
    prefix = _events_prefix(channel)
    return ArtifactCorrupt(
        f"expected the events of channel {channel!r} without gaps up to number {number}, got {actual}; restore "
        f"{channel_key(channel)!r} and {prefix!r} from one backup",
        key=prefix,
        expected=f"event {number}",
        actual=actual,
    )


def _events_prefix(channel: str) -> str:
    return event_key(channel, 1).rpartition("/")[0] + "/"
