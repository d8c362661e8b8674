"""What is served follows the channel, and says what was measured on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.app.approved import ApprovedModel
from deployments.app.limits import limits_of, read_limits
from deployments.stack.waiting import wait_for
from lesion_core.errors import ModelNotReady, StoreUnavailable
from lesion_core.labels import Diagnosis
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import clear_channel, move_channel, rollback
from lesion_core.serving.wording import disclaimer
from lesion_core.stores.local import LocalStore
from tests.app.conftest import now
from tests.app.reports import measure, publish_report
from tests.model_folders import publish_model


class FailingStore(LocalStore):
    """A store whose server can be made to stop answering; no local server fails on demand."""

    is_down = False
    n_asked = 0

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        self.n_asked += 1
        if self.is_down:
            raise StoreUnavailable("expected an answer from the store, got none; try again")
        return super().read_tagged(key)


@pytest.fixture
def store(tmp_path: Path) -> FailingStore:
    return FailingStore(tmp_path / "store")


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def approved(store: FailingStore, tmp_path: Path, clock: _Clock) -> Iterator[ApprovedModel]:
    model = ApprovedModel(store, tmp_path / "cache", read_limits, poll_seconds=0.1, threads=1, clock=clock)
    yield model
    model.stop()


def _approve(store: LocalStore, scratch: Path, favours: Diagnosis, **options: Any) -> ModelRef:
    model = publish_model(store, scratch, favours=favours, **options)
    move_channel(store, "approved", model, action="approve", approver="Dr Grey", reason="ok", clock=now)
    return model


def test_nothing_approved(approved: ApprovedModel) -> None:
    with pytest.raises(ModelNotReady, match="No model is approved yet"):
        approved.current()


def test_approval_rollback_and_withdrawal_are_followed(
    approved: ApprovedModel, store: FailingStore, tmp_path: Path
) -> None:
    first = _approve(store, tmp_path / "scratch", Diagnosis.NV)
    assert approved.current().approval.model_id == first.id
    assert approved.current().predictor is approved.current().predictor
    second = _approve(store, tmp_path / "scratch", Diagnosis.MEL)
    assert approved.current().approval.model_id == approved.current().predictor.model_id == second.id
    rollback(store, "approved", approver="Dr Grey", reason="too many alarms", clock=now)
    assert approved.current().approval.model_id == first.id
    assert approved.current().approval.reason == "too many alarms"
    clear_channel(store, "approved", approver="Dr Grey", reason="withdrawn", clock=now)
    with pytest.raises(ModelNotReady):
        approved.current()


def test_a_store_that_does_not_answer_costs_no_answer_and_is_left_alone(
    approved: ApprovedModel, store: FailingStore, tmp_path: Path, clock: _Clock
) -> None:
    store.is_down = True
    with pytest.raises(ModelNotReady, match="cannot be read"):
        approved.current()
    store.is_down = False
    model = _approve(store, tmp_path / "scratch", Diagnosis.NV)
    approved.current()
    store.is_down = True
    assert approved.current().approval.model_id == model.id
    n_asked = store.n_asked
    assert approved.current().approval.model_id == model.id
    assert store.n_asked == n_asked
    store.is_down = False
    second = _approve(store, tmp_path / "scratch", Diagnosis.MEL)
    clock.now += 0.2
    assert approved.current().approval.model_id == second.id


def test_a_model_of_another_vocabulary_is_not_served(
    approved: ApprovedModel, store: FailingStore, tmp_path: Path
) -> None:
    _approve(store, tmp_path / "scratch", Diagnosis.NV)
    approved.current()
    _approve(store, tmp_path / "scratch", Diagnosis.NV, temperature=-1.0)
    for _ in range(2):  # the model before it is no longer approved: it must not come back
        with pytest.raises(ModelNotReady, match="cannot be loaded"):
            approved.current()


def test_the_background_thread_finds_model_and_report(
    approved: ApprovedModel, store: FailingStore, tmp_path: Path
) -> None:
    approved.start()
    model = _approve(store, tmp_path / "scratch", Diagnosis.NV)
    assert approved.current().limits is None
    metrics = publish_report(store, model, tmp_path / "report")
    wait_for(lambda: approved.current().limits, seconds=20, pause_seconds=0.05)
    assert approved.current().limits == limits_of(metrics)


def test_the_disclaimer_carries_the_reports_numbers(
    approved: ApprovedModel, store: FailingStore, tmp_path: Path
) -> None:
    model = _approve(store, tmp_path / "scratch", Diagnosis.NV)
    metrics = publish_report(store, model, tmp_path / "report")
    served = approved.current()
    statements = disclaimer(served.predictor.folder.provenance, served.limits, served.approval, class_prior=None)
    text = " ".join(statement.text for statement in statements)
    melanoma, malignancy = metrics.classes[0].sensitivity, metrics.malignancy
    assert melanoma.value is not None
    assert malignancy.ppv_at_1_percent is not None
    assert f"{melanoma.value:.2f} (95 % interval {melanoma.low:.2f}–{melanoma.high:.2f})" in text
    assert f"{malignancy.sensitivity.value:.2f} (95 %" in text
    assert f"{malignancy.specificity.value:.2f} (95 %" in text
    assert f"{malignancy.ppv_at_1_percent:.2f} where 1 %" in text
    assert "240 images held back" in text


def test_a_class_without_test_images_has_no_number(store: FailingStore, tmp_path: Path) -> None:
    metrics = measure(publish_model(store, tmp_path / "scratch", favours=Diagnosis.NV), seed=1)
    none = metrics.classes[0].sensitivity.model_copy(update={"value": None, "low": None, "high": None})
    without = metrics.classes[0].model_copy(update={"sensitivity": none})
    limits = limits_of(metrics.model_copy(update={"classes": (without, *metrics.classes[1:])}))
    assert limits is not None
    assert limits.melanoma_sensitivity is None
