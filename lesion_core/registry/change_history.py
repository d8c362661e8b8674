"""What people and the gate decided on one model, as its card tells it."""

from collections.abc import Iterable

from lesion_core.evaluation.card import ChangeEntry
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import APPROVED, CANDIDATE, history
from lesion_core.registry.decisions import list_decisions
from lesion_core.registry.protocol import ChannelEvent
from lesion_core.stores.protocol import Store

_DONE = {"nominate": "nominated", "approve": "approved", "rollback": "approved again by a rollback"}


def changes_of(store: Store, model: ModelRef) -> tuple[ChangeEntry, ...]:
    """Return every decision on a model version, oldest first: nominated, approved, rejected, replaced.

    Raises:
        ArtifactCorrupt: An event of a channel or a recorded decision is missing, or is none.
    """
    rejections = [one.rejection for one in list_decisions(store, model.id) if one.rejection is not None]
    entries = [
        *(ChangeEntry(at=one.at, who=one.approver, what="rejected", why=one.reason) for one in rejections),
        *_moves(history(store, CANDIDATE), model),
        *_moves(history(store, APPROVED), model),
    ]
    return tuple(sorted(entries, key=lambda entry: entry.at))


def _moves(events: Iterable[ChannelEvent], model: ModelRef) -> Iterable[ChangeEntry]:
    """Yield the moves of a channel to this very version and away from it."""
    is_there = False
    for event in events:
        was_there, is_there = is_there, event.model_sha256 == model.sha256
        if is_there or was_there:
            approved = is_there if event.channel == APPROVED else None
            what = _DONE.get(event.action, event.action) if is_there else _left(event)
            yield ChangeEntry(at=event.at, who=event.approver, what=what, why=event.reason, is_approved=approved)


def _left(event: ChannelEvent) -> str:
    place = "approved model" if event.channel == APPROVED else "candidate"
    return f"no longer the {place}" + (f"; replaced by {event.model_id}" if event.model_id else "")
