"""The gate, and the two channels that models move through: ``candidate`` and ``approved``."""

from prefect import task

from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.registry import approval, channels, decisions, gate, versions
from lesion_core.registry.approval import ApprovalRequest, RollbackRequest
from lesion_core.registry.channels import ChannelState
from lesion_core.registry.verdicts import GateDecision
from tasks import publish
from tasks.edge import open_store, utc_now
from tasks.policies import RETRY_TRANSIENT


@task(name="find-approved", **RETRY_TRANSIENT)
def find_approved() -> ModelRef | None:
    """Return the model that is served now, if any."""
    state, _ = channels.read_channel(open_store(), "approved")
    return state.model if state else None


@task(name="find-model", **RETRY_TRANSIENT)
def find_model(model_id: str | None) -> ModelRef:
    """Return the model of this id, or the approved one where none is given."""
    store = open_store()
    return versions.get_model(store, model_id) if model_id else channels.approved_model(store)


@task(name="decide-gate", **RETRY_TRANSIENT)
def decide_gate(report: ReportRef, policy: GatePolicy, against: ReportRef | None) -> GateDecision:
    """Check a report against the policy and the approved model's report; record the decision."""
    store = open_store()
    decision = gate.decide(report, policy, store, against=against)
    decisions.record_decision(decision, store)
    verdict = "passed" if decision.passed else "not passed"
    publish.table(
        publish.GATE_DECISION,
        [check.model_dump() for check in decision.checks],
        f"Gate {verdict}: {decision.model.id}",
    )
    return decision


@task(name="nominate-model", **RETRY_TRANSIENT)
def nominate_model(decision: GateDecision) -> ChannelState:
    """Point the channel ``candidate`` at a model that passed the gate."""
    state = approval.nominate(decision, open_store(), clock=utc_now)
    publish.announce("model", "nominated", decision.model)
    return state


@task(name="approve-model", **RETRY_TRANSIENT)
def approve_model(request: ApprovalRequest) -> ChannelState | None:
    """Carry out a person's decision on a model; only a model that passed the gate can be approved."""
    state = approval.decide(request, open_store(), clock=utc_now)
    if state is not None:
        publish.announce("model", "approved", state.model, approver=request.approver, reason=request.reason)
    return state


@task(name="roll-back", **RETRY_TRANSIENT)
def roll_back(request: RollbackRequest) -> ChannelState:
    """Serve again what was approved before."""
    state = channels.rollback(
        open_store(), "approved", approver=request.approver, reason=request.reason, clock=utc_now
    )
    publish.announce("model", "rolled-back", state.model, approver=request.approver, reason=request.reason)
    return state
