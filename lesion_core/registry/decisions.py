"""What the gate and people have decided on a model version: append-only, the last word counts.

``gates/<recipe>/<model12>/<digest12>.json`` holds one ``RecordedDecision``. The same finding of the gate twice in a
row is one decision, and it does not lift a person's rejection that came after it: a rejection stands until the gate
finds something else (other test images, another approved model).
"""

import contextlib

from pydantic import Field, ValidationError

from lesion_core.errors import ArtifactCorrupt, StoreConflict
from lesion_core.keys import DIGEST_LENGTH, canonical_json, digest_of, gate_key
from lesion_core.registry.verdicts import GateDecision
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey, Value


class Rejection(Value):
    """A person's no."""

    approver: str = Field(min_length=1, max_length=200, description="Who")
    reason: str = Field(min_length=1, max_length=2000, description="Why")
    at: str = Field(description="ISO 8601, UTC")


class RecordedDecision(Value):
    """One decision on a model version, in its place among the others."""

    number: int = Field(ge=1, description="Position among the decisions on this model, from 1")
    decision: GateDecision
    rejection: Rejection | None = Field(default=None, description="Who rejected it after this decision, and why")

    @property
    def key(self) -> StoreKey:
        """Where it is stored."""
        return gate_key(self.decision.model.id, digest_of(self.model_dump(mode="json")))

    @property
    def passed(self) -> bool:
        """Whether the model may be approved."""
        return self.decision.passed and self.rejection is None

    def obstacles(self) -> str:
        """Return in words what stands against an approval; empty where nothing does."""
        failed = [f"{check.name} ({check.detail})" for check in self.decision.checks if not check.passed]
        if self.rejection is not None:
            failed.append(f"rejected by {self.rejection.approver} at {self.rejection.at}: {self.rejection.reason}")
        return "; ".join(failed)


def record_decision(decision: GateDecision, store: Store) -> StoreKey:
    """Record what the gate found and return its key; a finding that is the latest already is not recorded twice.

    Raises:
        ArtifactCorrupt: A recorded decision is none.
    """
    recorded = list_decisions(store, decision.model.id)
    findings = [item for item in recorded if item.rejection is None]
    if findings and findings[-1].decision == decision:
        return findings[-1].key
    return _append(RecordedDecision(number=_next_number(recorded), decision=decision), store)


def record_rejection(decided: RecordedDecision, rejection: Rejection, store: Store) -> StoreKey:
    """Record a person's rejection of the model that ``decided`` is about, and return its key."""
    recorded = list_decisions(store, decided.decision.model.id)
    again = RecordedDecision(number=_next_number(recorded), decision=decided.decision, rejection=rejection)
    return _append(again, store)


def latest_decision(store: Store, model_id: str) -> RecordedDecision | None:
    """Return the last word on a model version, or ``None`` where there is none.

    Raises:
        ArtifactCorrupt: A recorded decision is none.
    """
    recorded = list_decisions(store, model_id)
    return recorded[-1] if recorded else None


def list_decisions(store: Store, model_id: str) -> list[RecordedDecision]:
    """Return every decision on a model version, oldest first; of two at the same place the less favourable last.

    Raises:
        ArtifactCorrupt: A recorded decision is none.
    """
    prefix = gate_key(model_id, "0" * DIGEST_LENGTH).rpartition("/")[0] + "/"
    recorded = [_parsed(key, store.read(key)) for key in store.list(prefix)]
    return sorted(recorded, key=lambda item: (item.number, not item.passed, item.key))


def _next_number(recorded: list[RecordedDecision]) -> int:
    return max((item.number for item in recorded), default=0) + 1


def _append(recorded: RecordedDecision, store: Store) -> StoreKey:
    with contextlib.suppress(StoreConflict):  # somebody else recorded the very same decision at the very same place
        store.create(recorded.key, canonical_json(recorded.model_dump(mode="json")))
    return recorded.key


def _parsed(key: StoreKey, body: bytes) -> RecordedDecision:
    try:
        recorded = RecordedDecision.model_validate_json(body)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected a gate decision at {key!r}, got something else ({error.error_count()} fields wrong); restore "
            "it from a backup",
            key=key,
        ) from error
    if recorded.key != key:
        raise ArtifactCorrupt(
            f"expected the gate decision at {key!r} as it was recorded, but its content belongs at {recorded.key!r}; "
            "it was changed: restore it from a backup",
            key=key,
            expected=key,
            actual=recorded.key,
        )
    return recorded
