"""The watch over the archive, as the scheduler starts it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.runs import run_and_follow
from deployments.stack.waiting import wait_for
from lesion_core.errors import LesionError
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.withdrawals import withdrawn_ids
from tasks import publish
from tests.core.isic.folders import isic_id, row, write_folder
from tests.flows.conftest import Running

NAME = "watched"


def rows(*left_out: int, **cells: str) -> list[dict[str, str]]:
    usual = {"sex": "male", "age_approx": "45", **cells}
    return [row(number, **usual) for number in range(9000, 9024) if number not in left_out]


def run(running: Running, deployment: str, folder: Path, table: list[dict[str, str]], **parameters: Any) -> None:
    with running_mirror(write_folder(folder, table)) as url:
        asked = {"source": {"url": url}, **parameters}
        run_and_follow(running.addresses.prefect, deployment, asked, on_stage=lambda *_: None)


def newest_artifact(running: Running, key: str) -> Any:
    async def read() -> Any:
        async with get_client() as client:
            of_key = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
            found = await client.read_artifacts(artifact_filter=of_key, sort=ArtifactSort.UPDATED_DESC, limit=1)
            return found[0]

    with temporary_settings({PREFECT_API_URL: f"{running.addresses.prefect}/api"}):
        return asyncio.run(read())


def await_event(running: Running, name: str) -> dict[str, Any]:
    """Events arrive a moment after the run."""
    asked = {"filter": {"event": {"name": [name]}}}

    def found() -> list[dict[str, Any]]:
        answer = httpx.post(f"{running.addresses.prefect}/api/events/filter", json=asked, timeout=10)
        return list(answer.json()["events"])

    events = wait_for(found, seconds=20, pause_seconds=0.5)
    assert events, f"no event {name}"
    return events[0]


@pytest.mark.writes_errors(r"SchemaDrift", r"exited with status code: 1")
def test_a_withdrawn_image_is_reported_and_a_lost_field_stops_retraining(running: Running, tmp_path: Path) -> None:
    recipe = tmp_path / "watched.yaml"
    recipe.write_text(yaml.safe_dump({"name": "watched", "dataset": NAME, "backbone": "tiny", "weights": "none"}))
    with running_mirror(write_folder(tmp_path / "first", rows())) as url:
        ingest(ArchiveSource(url=url), running.store, name=NAME)

    run(running, "monitor/monitor-daily", tmp_path / "second", rows(9003), name=NAME)
    assert isic_id(9003) in withdrawn_ids(running.store)
    assert "1 withdrawn" in newest_artifact(running, publish.ARCHIVE_CHANGES).description
    event = await_event(running, "lesion.archive.changed")
    assert event["resource"]["prefect.resource.id"] == f"lesion.archive.{NAME}"
    assert event["payload"]["withdrawn"] == [isic_id(9003)]

    before = set(running.store.list("snapshots/"))
    with pytest.raises(LesionError, match=r"SchemaDrift") as caught:
        run(running, "retrain/retrain-weekly", tmp_path / "third", rows(9003, sex=""), recipe=str(recipe))
    assert "accept: [sex]" in str(caught.value)
    assert "-sex" in newest_artifact(running, publish.ARCHIVE_DRIFT).data
    assert set(running.store.list("snapshots/")) == before
