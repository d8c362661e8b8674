from pathlib import Path

import pytest
from pydantic import ValidationError

from lesion_core.errors import ArtifactNotFound, GateNotPassed, PromotionError
from lesion_core.keys import id_of, index_key, report_key
from lesion_core.refs import ModelRef
from lesion_core.registry.approval import ApprovalRequest, RollbackRequest, decide, nominate
from lesion_core.registry.channels import history, move_channel, read_channel, rollback
from lesion_core.registry.decisions import latest_decision, record_decision
from lesion_core.registry.protocol import Clock
from lesion_core.registry.verdicts import GateCheck, GateDecision
from lesion_core.stores.folders import files_folder, get_index
from lesion_core.stores.protocol import Store
from tests.core.registry import conftest
from tests.core.registry.conftest import make_report, provide_dataset


def make_model(store: Store, folder: Path, name: str, recipe: str = "quick") -> ModelRef:
    """Publish a model version that has a certified dataset and a report."""
    model = conftest.make_model(store, folder, name, recipe, provide_dataset(store))
    make_report(store, folder, model)
    return model


def pass_gate(
    store: Store, model: ModelRef, *, passed: bool = True, compared_with: ModelRef | None = None
) -> GateDecision:
    checks = (
        GateCheck(name="better than chance", passed=passed, detail="0.300 against 0.125"),
        GateCheck(name="licence and attribution", passed=True, detail="CC-BY"),
    )
    decision = GateDecision(
        model=model,
        report_id=id_of(report_key(model.id, model.sha256)),
        passed=passed,
        checks=checks,
        compared_with=compared_with.id if compared_with else None,
    )
    record_decision(decision, store)
    return decision


def ask(model: ModelRef, decision: str = "approve", reason: str = "Better on the same images.") -> ApprovalRequest:
    return ApprovalRequest.model_validate(
        {"model_id": model.id, "decision": decision, "approver": "Dr Grey", "reason": reason}
    )


def test_a_model_that_passed_is_nominated_then_approved(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    decision = pass_gate(store, model)
    candidate = nominate(decision, store, clock=clock)
    assert (candidate.channel, candidate.model) == ("candidate", model)
    assert read_channel(store, "approved")[0] is None
    state = decide(ask(model), store, clock=clock)
    assert state is not None
    latest = latest_decision(store, model.id)
    assert latest is not None
    assert (state.model, state.approver, state.reason) == (model, "Dr Grey", "Better on the same images.")
    assert state.gate_key == candidate.gate_key == latest.key
    assert read_channel(store, "approved")[0] == state


def test_asking_twice_is_one_approval(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    pass_gate(store, model)
    assert decide(ask(model), store, clock=clock) == decide(ask(model), store, clock=clock)
    assert len(history(store, "approved")) == 1


def test_a_model_without_a_decision_is_refused(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    with pytest.raises(GateNotPassed, match="found none; run the flow 'train'"):
        decide(ask(model), store, clock=clock)
    assert read_channel(store, "approved") == (None, None)


def test_a_failed_check_is_named_and_nothing_moves(store: Store, tmp_path: Path, clock: Clock) -> None:
    good, bad = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    pass_gate(store, good)
    before = decide(ask(good), store, clock=clock)
    decision = pass_gate(store, bad, passed=False, compared_with=good)
    for attempt in (lambda: decide(ask(bad), store, clock=clock), lambda: nominate(decision, store, clock=clock)):
        with pytest.raises(GateNotPassed, match=r"better than chance \(0.300 against 0.125\)") as caught:
            attempt()
        assert caught.value.failed == ["better than chance"]
    assert read_channel(store, "approved")[0] == before
    assert read_channel(store, "candidate")[0] is None


def test_an_unrecorded_decision_nominates_nothing(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    claimed = GateDecision(model=model, report_id="r/1", passed=True, checks=())
    with pytest.raises(GateNotPassed, match="expected a recorded gate decision"):
        nominate(claimed, store, clock=clock)


def test_a_decision_on_other_bytes_of_the_model_is_none(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    pass_gate(store, model.model_copy(update={"sha256": "0" * 64}))
    with pytest.raises(GateNotPassed, match="as it is stored"):
        decide(ask(model), store, clock=clock)


@pytest.mark.parametrize("fault", ["certificate gone", "table changed", "report gone"])
def test_a_decision_does_not_stand_in_for_a_true_certificate(
    store: Store, tmp_path: Path, clock: Clock, fault: str
) -> None:
    """Whatever was recorded: approval looks at the datasets as they lie in the store now."""
    model = make_model(store, tmp_path, "a")
    decision = pass_gate(store, model)
    if fault == "report gone":
        store.remove(index_key(report_key(model.id, model.sha256)))
    else:
        name = "certificate.json" if fault == "certificate gone" else "duplicates.parquet"
        _, index = get_index(store, model.dataset)
        key = f"{files_folder(model.dataset.key, index)}/{name}"
        store.remove(key) if fault == "certificate gone" else store.write(key, b"other pairs")
    for attempt in (lambda: nominate(decision, store, clock=clock), lambda: decide(ask(model), store, clock=clock)):
        with pytest.raises(GateNotPassed, match="report" if fault == "report gone" else "no true certificate"):
            attempt()
    assert read_channel(store, "approved") == read_channel(store, "candidate") == (None, None)


def test_another_models_report_vouches_for_nothing(store: Store, tmp_path: Path, clock: Clock) -> None:
    model, other = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    decision = pass_gate(store, other).model_copy(update={"model": model})
    record_decision(decision, store)
    with pytest.raises(GateNotPassed, match=f"expected a report on {model.id}"):
        decide(ask(model), store, clock=clock)


def test_an_unknown_model_is_named_with_those_that_are(store: Store, tmp_path: Path, clock: Clock) -> None:
    known = make_model(store, tmp_path, "a")
    with pytest.raises(ArtifactNotFound, match=known.id):
        decide(ask(known.model_copy(update={"id": "quick/000000000009"})), store, clock=clock)


def test_a_comparison_with_what_was_approved_before_is_out_of_date(
    store: Store, tmp_path: Path, clock: Clock
) -> None:
    first, second, third = (make_model(store, tmp_path, name) for name in "abc")
    for model, compared_with in ((first, None), (second, first), (third, first)):
        pass_gate(store, model, compared_with=compared_with)
    decide(ask(first), store, clock=clock)
    decide(ask(second), store, clock=clock)
    with pytest.raises(GateNotPassed, match=f"compared with {first.id}; run the flow 'train'"):
        decide(ask(third), store, clock=clock)
    pass_gate(store, third, compared_with=second)
    state = decide(ask(third), store, clock=clock)
    assert state is not None
    assert state.model == third


def test_generated_images_never_replace_photographs(store: Store, tmp_path: Path, clock: Clock) -> None:
    """Even where a decision claims to have compared them."""
    synthetic, real = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b", recipe="real")
    assert synthetic.synthetic
    real = real.model_copy(update={"synthetic": False})
    move_channel(store, "approved", real, action="approve", approver="Dr Grey", reason="first", clock=clock)
    pass_gate(store, synthetic, compared_with=real)
    with pytest.raises(GateNotPassed, match="trained on generated images"):
        decide(ask(synthetic), store, clock=clock)


def test_a_rejected_candidate_is_recorded_and_stays_out(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    decision = pass_gate(store, model)
    nominate(decision, store, clock=clock)
    assert decide(ask(model, "reject", "Calls my ink dots melanoma."), store, clock=clock) is None
    assert read_channel(store, "candidate")[0] is None
    event = history(store, "candidate")[-1]
    assert (event.action, event.approver, event.reason) == ("reject", "Dr Grey", "Calls my ink dots melanoma.")
    latest = latest_decision(store, model.id)
    assert latest is not None
    assert event.gate_key == latest.key
    record_decision(decision, store)  # the next scheduled run comes to the same finding
    for attempt in (lambda: decide(ask(model), store, clock=clock), lambda: nominate(decision, store, clock=clock)):
        with pytest.raises(GateNotPassed, match=r"rejected by Dr Grey .* Calls my ink dots melanoma"):
            attempt()


def test_rejecting_leaves_what_is_approved_and_other_candidates_alone(
    store: Store, tmp_path: Path, clock: Clock
) -> None:
    approved, candidate, other = (make_model(store, tmp_path, name) for name in "abc")
    pass_gate(store, approved)
    state = decide(ask(approved), store, clock=clock)
    nominate(pass_gate(store, candidate, compared_with=approved), store, clock=clock)
    pass_gate(store, other, passed=False, compared_with=approved)
    assert decide(ask(other, "reject"), store, clock=clock) == state
    now, _ = read_channel(store, "candidate")
    assert now is not None
    assert now.model == candidate
    with pytest.raises(PromotionError, match="flow 'rollback'"):
        decide(ask(approved, "reject"), store, clock=clock)
    assert read_channel(store, "approved")[0] == state


def test_rejecting_twice_is_one_rejection(store: Store, tmp_path: Path, clock: Clock) -> None:
    model = make_model(store, tmp_path, "a")
    nominate(pass_gate(store, model), store, clock=clock)
    decide(ask(model, "reject"), store, clock=clock)
    key = latest_decision(store, model.id)
    decide(ask(model, "reject", "again"), store, clock=clock)
    assert latest_decision(store, model.id) == key


def test_a_model_that_the_gate_never_saw_cannot_be_rejected(store: Store, tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(GateNotPassed, match="nothing to reject"):
        decide(ask(make_model(store, tmp_path, "a"), "reject"), store, clock=clock)


def test_after_a_rollback_the_other_can_be_approved_once_compared(store: Store, tmp_path: Path, clock: Clock) -> None:
    first, second = make_model(store, tmp_path, "a"), make_model(store, tmp_path, "b")
    pass_gate(store, first)
    pass_gate(store, second, compared_with=first)
    for model in (first, second):
        decide(ask(model), store, clock=clock)
    rollback(store, "approved", approver="Dr Grey", reason="too many alarms", clock=clock)
    state = decide(ask(second), store, clock=clock)
    assert state is not None
    assert state.model == second


@pytest.mark.parametrize("field", ["approver", "reason", "model_id"])
@pytest.mark.parametrize("value", ["", None])
def test_nobody_approves_anonymously_or_without_a_reason(field: str, value: str | None) -> None:
    whole = {"model_id": "quick/a", "decision": "approve", "approver": "Dr Grey", "reason": "ok"}
    with pytest.raises(ValidationError, match=field):
        ApprovalRequest.model_validate({**whole, field: value})


@pytest.mark.parametrize("blank", [" ", "\t\n"])
def test_blanks_are_no_name_and_no_reason(blank: str) -> None:
    for field in ("approver", "reason"):
        with pytest.raises(ValidationError, match=field):
            RollbackRequest.model_validate({"approver": "Dr Grey", "reason": "ok", field: blank})


def test_a_form_has_its_fields_in_order_with_descriptions() -> None:
    schema = ApprovalRequest.model_json_schema()["properties"]
    assert list(schema) == ["model_id", "decision", "approver", "reason"]
    assert [field["position"] for field in schema.values()] == [0, 1, 2, 3]
    assert all(field["description"] for field in schema.values())
    with pytest.raises(ValidationError, match="aprover"):
        ApprovalRequest.model_validate({"model_id": "quick/a", "aprover": "x", "reason": "y"})
