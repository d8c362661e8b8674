import pytest

from lesion_core.errors import ArtifactCorrupt
from lesion_core.refs import ModelRef
from lesion_core.registry.decisions import (
    Rejection,
    latest_decision,
    list_decisions,
    record_decision,
    record_rejection,
)
from lesion_core.registry.verdicts import GateCheck, GateDecision
from lesion_core.stores.local import LocalStore
from tests.core.registry.conftest import make_model

NO = Rejection(approver="Dr Grey", reason="misses a melanoma of mine", at="2025-03-01T12:00:00+00:00")


@pytest.fixture
def local(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def model(local: LocalStore, tmp_path) -> ModelRef:
    return make_model(local, tmp_path, "a")


def decision(model: ModelRef, *, passed: bool = True, compared_with: str | None = None) -> GateDecision:
    checks = (GateCheck(name="better than chance", passed=passed, detail="0.6 against 0.125"),)
    return GateDecision(model=model, report_id="r/1", passed=passed, checks=checks, compared_with=compared_with)


def test_nothing_decided(local: LocalStore, model: ModelRef) -> None:
    assert latest_decision(local, model.id) is None


def test_a_decision_is_kept_under_its_model_and_read_back(local: LocalStore, model: ModelRef) -> None:
    key = record_decision(decision(model), local)
    assert key.startswith(f"gates/{model.id}/")
    latest = latest_decision(local, model.id)
    assert latest is not None
    assert (latest.decision, latest.key, latest.number, latest.passed) == (decision(model), key, 1, True)
    assert latest.obstacles() == ""


def test_the_same_finding_in_a_row_is_one_decision(local: LocalStore, model: ModelRef) -> None:
    assert record_decision(decision(model), local) == record_decision(decision(model), local)
    assert len(list_decisions(local, model.id)) == 1


def test_the_last_word_counts_and_nothing_is_overwritten(local: LocalStore, model: ModelRef) -> None:
    findings = [decision(model), decision(model, passed=False), decision(model)]
    keys = [record_decision(finding, local) for finding in findings]
    assert len(set(keys)) == 3
    assert [item.decision for item in list_decisions(local, model.id)] == findings
    latest = latest_decision(local, model.id)
    assert latest is not None
    assert latest.passed


def test_a_rejection_stands_until_the_gate_finds_something_else(local: LocalStore, model: ModelRef) -> None:
    record_decision(decision(model), local)
    first = latest_decision(local, model.id)
    assert first is not None
    record_rejection(first, NO, local)
    record_decision(decision(model), local)  # the nightly run finds the same again
    latest = latest_decision(local, model.id)
    assert latest is not None
    assert not latest.passed
    assert "Dr Grey" in latest.obstacles()
    assert "misses a melanoma of mine" in latest.obstacles()
    record_decision(decision(model, compared_with="quick/b"), local)
    after = latest_decision(local, model.id)
    assert after is not None
    assert after.passed
    assert len(list_decisions(local, model.id)) == 3


def test_of_two_at_one_place_the_less_favourable_counts(local: LocalStore, model: ModelRef) -> None:
    """Two workers decide at once, each seeing no decision before."""
    no, yes = decision(model, passed=False), decision(model)
    record_decision(no, local)
    (key,) = local.list("gates/")
    body = local.read(key)
    local.remove(key)
    record_decision(yes, local)
    local.write(key, body)
    latest = latest_decision(local, model.id)
    assert latest is not None
    assert not latest.passed


def test_models_do_not_share_decisions(local: LocalStore, model: ModelRef, tmp_path) -> None:
    record_decision(decision(model), local)
    assert latest_decision(local, make_model(local, tmp_path, "b").id) is None


@pytest.mark.parametrize("forge", [lambda body: body.replace(b'"passed":false', b'"passed":true'), lambda _: b"{}"])
def test_a_changed_decision_is_refused(local: LocalStore, model: ModelRef, forge) -> None:
    key = record_decision(decision(model, passed=False), local)
    local.write(key, forge(local.read(key)))
    with pytest.raises(ArtifactCorrupt, match="from a backup"):
        latest_decision(local, model.id)
