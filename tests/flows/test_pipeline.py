"""The main job, as its users start it, on a real Prefect server."""

import asyncio
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.demo import ask_page
from deployments.runs import run_and_follow
from lesion_core.errors import LesionError
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import approved_model, history, read_channel
from lesion_core.registry.versions import list_models
from tasks import publish
from tests.conftest import ROOT
from tests.flows.conftest import Running

FLOW_PARAMETERS = {"source": {"limit": 200, "tolerance": 0.02}, "recipe": "demo-synthetic"}


def test_the_readme_script_ends_in_an_approved_synthetic_model(running: Running, approved: ModelRef) -> None:
    state, _ = read_channel(running.store, "approved")
    assert state is not None
    assert state.model == approved
    assert approved.synthetic
    assert [event.action for event in history(running.store, "approved")] == ["approve"]


def test_every_stage_left_its_artifact(running: Running, approved: ModelRef) -> None:
    async def keys() -> set[str]:
        async with get_client() as client:
            return {artifact.key or "" for artifact in await client.read_artifacts(limit=200)}

    with temporary_settings({PREFECT_API_URL: f"{running.addresses.prefect}/api"}):
        found = asyncio.run(keys())
    assert {
        publish.DATASET_SUMMARY,
        publish.INGEST_ISSUES,
        publish.TRAIN_HISTORY,
        publish.CONTACT_SHEET,
        publish.EVAL_METRICS,
        publish.EVAL_PER_CLASS,
        publish.EVAL_FIGURES,
        publish.EVAL_REMARKS,
        publish.GATE_DECISION,
        publish.MODEL_CARD,
        "training-progress",
    } <= found


def test_the_same_inputs_recompute_nothing(running: Running, approved: ModelRef) -> None:
    def outputs() -> set[str]:
        places = ("archive/", "snapshots/", "datasets/", "models/", "reports/")
        return {key for place in places for key in running.store.list(place)}

    before = outputs()
    stages: list[str] = []
    run_and_follow(
        running.addresses.prefect,
        "pipeline/pipeline-local",
        FLOW_PARAMETERS,
        on_stage=lambda stage, *_: stages.append(stage),
    )
    assert outputs() == before
    assert {"ingest", "prepare-dataset", "train-model", "evaluate-model", "approve-model"} <= set(stages)


def test_the_page_serves_the_approved_model(running: Running, approved: ModelRef, real_image: bytes) -> None:
    answer = ask_page(running.addresses.page, real_image)
    assert answer["model"] == approved.id
    assert sum(item["probability"] for item in answer["classes"]) == pytest.approx(1, abs=1e-4)


def test_a_misspelt_parameter_is_refused_before_any_work(running: Running) -> None:
    with pytest.raises(Exception, match="limmit"):
        run_and_follow(
            running.addresses.prefect, "ingest/ingest-local", {"source": {"limmit": 3}}, on_stage=lambda *_: None
        )


# As many attempts as ever, by the client and by the task; only the waits between them are short.
UNREACHABLE = """
from functools import partial
from lesion_core.isic.api import client
from lesion_core.isic.source import ArchiveSource
from tasks.policies import RETRY_TRANSIENT

client.Patience = partial(client.Patience, first_wait_seconds=0.01)
RETRY_TRANSIENT.update(retry_delay_seconds=0.1, retry_jitter_factor=None)
from flows.ingest import ingest_flow

ingest_flow(ArchiveSource(url="http://127.0.0.1:9/api/v2/"))
"""


def test_an_unreachable_archive_ends_in_one_sentence(running: Running) -> None:
    outcome = running.python("-c", UNREACHABLE, PYTHONPATH=str(ROOT))
    assert outcome.returncode != 0
    assert "SourceUnavailable" in outcome.stderr
    assert "127.0.0.1:9" in outcome.stderr


@pytest.mark.writes_errors(r"demo-synthetic/000000000000", r"exited with status code: 1")
def test_only_what_passed_the_gate_can_be_approved(running: Running, approved: ModelRef) -> None:
    request = {"model_id": "demo-synthetic/000000000000", "decision": "approve", "approver": "A", "reason": "B"}
    with pytest.raises(LesionError, match="demo-synthetic/000000000000"):
        run_and_follow(
            running.addresses.prefect, "approve/approve-form", {"request": request}, on_stage=lambda *_: None
        )
    assert approved_model(running.store) == approved


def test_retraining_nominates_and_approval_moves_the_page(
    running: Running, approved: ModelRef, real_image: bytes, other_recipe: Path
) -> None:
    server = running.addresses.prefect
    parameters = {**FLOW_PARAMETERS, "recipe": str(other_recipe)}
    run_and_follow(server, "retrain/retrain-weekly", parameters, on_stage=lambda *_: None)
    candidate, _ = read_channel(running.store, "candidate")
    assert candidate is not None
    assert candidate.model.id != approved.id
    assert ask_page(running.addresses.page, real_image)["model"] == approved.id  # nobody has approved yet

    request = {
        "model_id": candidate.model.id,
        "decision": "approve",
        "approver": "Dr B. Example",
        "reason": "Compared on the same images.",
    }
    before = ask_page(running.addresses.page, real_image)
    run_and_follow(server, "approve/approve-form", {"request": request}, on_stage=lambda *_: None)
    after = ask_page(running.addresses.page, real_image)  # the same page process
    assert after["model"] == candidate.model.id
    assert after["classes"] != before["classes"]

    request = {"approver": "Dr B. Example", "reason": "Seen a missed melanoma."}
    run_and_follow(server, "rollback/rollback-form", {"request": request}, on_stage=lambda *_: None)
    assert ask_page(running.addresses.page, real_image)["model"] == approved.id
    assert [event.action for event in history(running.store, "approved")][-2:] == ["approve", "rollback"]
    assert {approved.id, candidate.model.id} <= {model.id for model in list_models(running.store)}
