"""People and channels: nominate, approve, reject, roll back.

The gate says what may be approved; a person says what is. Nothing here trains, measures or decides by itself.
"""

import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lesion_core.errors import ArtifactNotFound, GateNotPassed, PromotionError
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.registry.channels import (
    APPROVED,
    CANDIDATE,
    ChannelState,
    clear_channel,
    move_channel,
    read_channel,
)
from lesion_core.registry.decisions import RecordedDecision, Rejection, latest_decision, record_rejection
from lesion_core.registry.gate import check_certificates, replaces_photographs
from lesion_core.registry.protocol import Clock
from lesion_core.registry.verdicts import GateDecision
from lesion_core.registry.versions import get_model
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import get_reference
from lesion_core.types import Value

NOMINATOR = "gate"

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class ApprovalRequest(Value):
    """A person's word on a model version."""

    model_id: str = Field(
        min_length=1,
        description="Id of the model version, such as isic-quick/0f3a9c1d22b4",
        json_schema_extra={"position": 0},
    )
    decision: Literal["approve", "reject"] = Field(
        default="approve",
        description="'approve' serves it from now on; 'reject' takes it out of the candidates and bars its approval",
        json_schema_extra={"position": 1},
    )
    approver: Name = Field(description="Who decides and answers for it", json_schema_extra={"position": 2})
    reason: Reason = Field(description="Why; kept in the history", json_schema_extra={"position": 3})


class RollbackRequest(Value):
    """A person's wish to serve again what was approved before."""

    approver: Name = Field(description="Who decides and answers for it", json_schema_extra={"position": 0})
    reason: Reason = Field(description="Why; kept in the history", json_schema_extra={"position": 1})


def nominate(decision: GateDecision, store: Store, *, clock: Clock) -> ChannelState:
    """Point the channel 'candidate' at a model that passed the gate, for a person to decide on.

    Args:
        decision: What the gate found; it must be recorded.
        store: Must honour conditions.
        clock: Returns the time, with its zone.

    Raises:
        GateNotPassed: The gate or a person refused it, or a dataset's certificate is not true now; the message
            names why.
        PromotionConflict: Somebody else moved the channel meanwhile.
    """
    recorded = _passed_decision(store, decision.model)
    return move_channel(
        store,
        CANDIDATE,
        decision.model,
        action="nominate",
        approver=NOMINATOR,
        reason=f"Passed {len(recorded.decision.checks)} checks on report {recorded.decision.report_id}.",
        gate_key=recorded.key,
        clock=clock,
    )


def decide(request: ApprovalRequest, store: Store, *, clock: Clock) -> ChannelState | None:
    """Carry out a person's decision on a model version.

    Args:
        request: Which model, what decision, whose and why.
        store: Must honour conditions.
        clock: Returns the time, with its zone.

    Returns:
        What the channel 'approved' points at now; ``None`` where that is nothing (after a rejection).

    Raises:
        ArtifactNotFound: There is no such model version; the message names those that are.
        GateNotPassed: Approval of a model that the gate or a person refused, that was never gated, or that was
            compared with another model than the one approved now; or a dataset whose certificate is not true now.
        PromotionError: Rejection of the model that is approved.
        PromotionConflict: Somebody else moved the channel meanwhile.
    """
    model = get_model(store, request.model_id)
    if request.decision == "reject":
        return _reject(request, model, store, clock)
    return _approve(request, model, store, clock)


def _approve(request: ApprovalRequest, model: ModelRef, store: Store, clock: Clock) -> ChannelState:
    recorded = _passed_decision(store, model)
    now, _ = read_channel(store, APPROVED)
    if now is not None and now.model.id != model.id:
        _require_compared(recorded, now.model)
    return move_channel(
        store,
        APPROVED,
        model,
        action="approve",
        approver=request.approver,
        reason=request.reason,
        gate_key=recorded.key,
        clock=clock,
        expected_number=now.number if now else None,
    )


def _reject(request: ApprovalRequest, model: ModelRef, store: Store, clock: Clock) -> ChannelState | None:
    now, _ = read_channel(store, APPROVED)
    if now is not None and now.model.id == model.id:
        raise PromotionError(
            f"expected a model that is not served, got {model.id}, which is the approved one; serve the one "
            "before it again with the flow 'rollback', or approve another",
            model_id=model.id,
        )
    recorded = latest_decision(store, model.id)
    if recorded is None:
        raise GateNotPassed(
            f"expected a model that the gate has decided on, got {model.id}, which it never saw: without a decision "
            "it cannot be approved either, so there is nothing to reject",
            model_id=model.id,
        )
    at = clock().astimezone(datetime.UTC).isoformat()
    key = recorded.key
    if recorded.rejection is None:
        key = record_rejection(recorded, Rejection(approver=request.approver, reason=request.reason, at=at), store)
    candidate, _ = read_channel(store, CANDIDATE)
    if candidate is not None and candidate.model.id == model.id:
        clear_channel(
            store,
            CANDIDATE,
            approver=request.approver,
            reason=request.reason,
            gate_key=key,
            clock=clock,
            expected_number=candidate.number,
        )
    return now


def _passed_decision(store: Store, model: ModelRef) -> RecordedDecision:
    recorded = latest_decision(store, model.id)
    if recorded is None:
        raise GateNotPassed(
            f"expected a recorded gate decision on {model.id}, found none; run the flow 'train' or 'pipeline' with "
            "its recipe, which evaluates it (nothing is trained anew) and lets the gate decide",
            model_id=model.id,
        )
    if recorded.decision.model.sha256 != model.sha256:
        raise GateNotPassed(
            f"expected a gate decision on {model.id} as it is stored (index sha256 {model.sha256}), found one on "
            f"{recorded.decision.model.sha256}; evaluate it and let the gate decide again",
            model_id=model.id,
        )
    if not recorded.passed:
        raise GateNotPassed(
            f"expected {model.id} to have passed the gate, but: {recorded.obstacles()}. Train a better version, or "
            "approve another; what is approved now stays",
            model_id=model.id,
            failed=[check.name for check in recorded.decision.checks if not check.passed],
        )
    _require_certified(store, recorded.decision)
    return recorded


def _require_certified(store: Store, decision: GateDecision) -> None:
    """Make sure, whatever a decision says, that the datasets behind it are certified as they lie in the store now."""
    model = decision.model
    try:
        report = get_reference(store, ReportRef, "reports", decision.report_id)
    except ArtifactNotFound as error:
        raise GateNotPassed(
            f"expected the report {decision.report_id} that the gate decided on, found none; evaluate {model.id} and "
            "let the gate decide again",
            model_id=model.id,
        ) from error
    if report.model.sha256 != model.sha256:
        raise GateNotPassed(
            f"expected a report on {model.id}, but {report.id} is one on {report.model.id}; evaluate {model.id} and "
            "let the gate decide again",
            model_id=model.id,
        )
    if failed := [check for check in check_certificates(store, report) if not check.passed]:
        raise GateNotPassed(
            f"expected {model.id} to come from certified datasets, but: "
            f"{'; '.join(f'{check.name} ({check.detail})' for check in failed)}. What is approved now stays",
            model_id=model.id,
            failed=[check.name for check in failed],
        )


def _require_compared(recorded: RecordedDecision, approved: ModelRef) -> None:
    """Make sure that a gate decision is about what is approved now."""
    model = recorded.decision.model
    if replaces_photographs(model, approved):
        raise GateNotPassed(
            f"expected a model of photographs to replace {approved.id}, got {model.id}, which was trained on "
            "generated images; it may be approved only where nothing real is served",
            model_id=model.id,
            failed=["real and generated images apart"],
        )
    if recorded.decision.compared_with != approved.id:
        raise GateNotPassed(
            f"expected {model.id} to have been compared with {approved.id}, which is approved now, but it was "
            f"compared with {recorded.decision.compared_with or 'nothing'}; run the flow 'train' with its recipe "
            "(nothing is trained anew), which lets the gate decide again",
            model_id=model.id,
            failed=["compared with the approved model"],
        )
