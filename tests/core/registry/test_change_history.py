from pathlib import Path

from lesion_core.registry.approval import decide, nominate
from lesion_core.registry.change_history import changes_of
from lesion_core.registry.channels import move_channel, rollback
from lesion_core.registry.protocol import Clock
from lesion_core.stores.local import LocalStore
from tests.core.registry.conftest import make_model
from tests.core.registry.test_approval import ask, pass_gate
from tests.core.registry.test_approval import make_model as make_certified


def test_moves_to_a_model_and_away_from_it_are_told_in_order(tmp_path: Path, clock: Clock) -> None:
    store = LocalStore(tmp_path / "store")
    first, second, third = (make_model(store, tmp_path, name) for name in "abc")
    for model in (first, second):
        move_channel(
            store, "approved", model, action="approve", approver="Dr Grey", reason=f"{model.id} is good.", clock=clock
        )
    rollback(store, "approved", approver="Dr Weber", reason="Too many alarms.", clock=clock)
    assert [(one.who, one.what, one.why, one.is_approved) for one in changes_of(store, first)] == [
        ("Dr Grey", "approved", f"{first.id} is good.", True),
        ("Dr Grey", f"no longer the approved model; replaced by {second.id}", f"{second.id} is good.", False),
        ("Dr Weber", "approved again by a rollback", "Too many alarms.", True),
    ]
    assert [(one.what, one.is_approved) for one in changes_of(store, second)] == [
        ("approved", True),
        (f"no longer the approved model; replaced by {first.id}", False),
    ]
    assert changes_of(store, third) == ()


def test_a_rejection_is_told_with_its_reason(tmp_path: Path, clock: Clock) -> None:
    store = LocalStore(tmp_path / "store")
    model = make_certified(store, tmp_path, "a")
    nominate(pass_gate(store, model), store, clock=clock)
    decide(ask(model, "reject", reason="Melanoma of the sole is missed."), store, clock=clock)
    found = changes_of(store, model)
    assert found[0].what == "nominated"
    assert ("Dr Grey", "rejected", "Melanoma of the sole is missed.", None) in [
        (one.who, one.what, one.why, one.is_approved) for one in found
    ]
    assert found[-1].what in ("rejected", "no longer the candidate")
    assert [one.at for one in found] == sorted(one.at for one in found)
