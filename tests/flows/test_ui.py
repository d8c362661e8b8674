"""The Prefect UI in a real browser: what a run shows, and a run started from a form."""

import json
import urllib.request
from typing import Any

from playwright.sync_api import Browser, expect

from deployments.stack.waiting import wait_for
from lesion_core.refs import ModelRef
from tasks import publish
from tests.flows.conftest import Running


def ask(running: Running, path: str, body: dict[str, Any]) -> Any:
    """POST to the Prefect API."""
    request = urllib.request.Request(
        f"{running.addresses.prefect}/api{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def test_a_run_shows_its_stages_and_artifacts(running: Running, approved: ModelRef, browser: Browser) -> None:
    runs = ask(running, "/flow_runs/filter", {"flows": {"name": {"any_": ["pipeline"]}}, "limit": 1})
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{running.addresses.prefect}/runs/flow-run/{runs[0]['id']}")
    page.get_by_text("Task Runs", exact=True).click(timeout=20_000)
    for stage in (
        "prepare-dataset",
        "publish-data-report",
        "train-model",
        "evaluate-model",
        "decide-gate",
        "approve-model",
    ):
        expect(page.get_by_text(stage).first).to_be_visible(timeout=20_000)
    page.get_by_text("Subflow Runs", exact=True).click()
    expect(page.get_by_text("ingest-synthetic").first).to_be_visible(timeout=20_000)
    page.get_by_text("Artifacts", exact=True).click()
    expect(page.get_by_text(publish.MODEL_CARD).first).to_be_visible(timeout=20_000)
    page.close()


def test_a_run_started_from_the_form_completes(running: Running, approved: ModelRef, browser: Browser) -> None:
    deployments = ask(running, "/deployments/filter", {})
    evaluate = next(item for item in deployments if item["name"] == "evaluate-local")
    page = browser.new_page(viewport={"width": 1400, "height": 1400})
    page.goto(f"{running.addresses.prefect}/deployments/deployment/{evaluate['id']}/run")
    page.get_by_role("button", name="Submit").click(timeout=20_000)
    latest = {"deployments": {"id": {"any_": [evaluate["id"]]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}

    def ended() -> list[dict[str, Any]]:
        runs = ask(running, "/flow_runs/filter", latest)
        return [run for run in runs if run["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"}]

    runs = wait_for(ended, seconds=120, pause_seconds=1)
    assert runs
    assert runs[0]["state"]["type"] == "COMPLETED", runs
    page.close()


def test_forms_carry_the_bounds_and_descriptions(running: Running) -> None:
    """A person filling in a form reads what a field means and cannot leave its range."""
    deployments = {item["name"]: item for item in ask(running, "/deployments/filter", {})}
    schema = deployments["approve-form"]["parameter_openapi_schema"]
    fields = schema["definitions"]["ApprovalRequest"]["properties"]
    assert set(fields) == {"model_id", "decision", "approver", "reason"}
    assert all(field.get("description") for field in fields.values())
    assert len(deployments) == 16
