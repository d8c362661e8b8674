"""Following a run on a real server: every task of it and of its subflows, and the last word of each."""

import asyncio
from contextlib import AbstractContextManager

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments import runs
from deployments.continuing import find_continuation
from deployments.following.news import RunNews
from deployments.following.silence import explain
from deployments.runs import run_and_follow
from lesion_core.errors import LesionError
from lesion_core.isic.source import ArchiveSource
from lesion_core.recipes.recipe import choose_recipe
from lesion_core.refs import ModelRef
from lesion_core.updates import read_progress
from tests.conftest import ROOT
from tests.flows.conftest import Running
from tests.flows.test_pipeline import FLOW_PARAMETERS


class _Recording(AbstractContextManager["_Recording"]):
    """A screen that keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[RunNews] = []

    def show(self, news: RunNews) -> None:
        self.shown.append(news)

    def say(self, text: str) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def test_every_task_is_seen_below_its_stage_and_ends(
    running: Running, approved: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_POLL_SECONDS", 0.2)  # a stage whose output is there already takes about a second
    screen = _Recording()
    run = run_and_follow(running.addresses.prefect, "pipeline/pipeline-local", FLOW_PARAMETERS, screen=screen)
    last = screen.shown[-1]
    assert last.state == "Completed"
    assert {task.status for task in last.tasks} == {"done"}
    ingest = next(task for task in last.tasks if task.task == "ingest")
    assert ingest.parent is None
    assert ingest.seconds > 0
    assert {task.task for task in last.tasks if task.parent == ingest.id} == {
        "list-archive", "fetch-shard", "publish-snapshot"
    }  # fmt: skip
    assert any(task.task == "ingest" and task.status == "running" for news in screen.shown for task in news.tasks)
    shard = next(task for task in last.tasks if task.task == "fetch-shard")
    assert shard.progress is not None
    assert shard.what == "Images, part 1 of 1"

    async def ask() -> str:
        async with get_client() as client:
            return await explain(client, run, RunNews("Running"), 150)

    with temporary_settings({PREFECT_API_URL: f"{running.addresses.prefect}/api"}):
        assert asyncio.run(ask()) == (
            "nothing new for 2 min 30 s: no task runs; worker local of work pool 'lesion' is online"
        )


def test_the_last_word_of_a_training_is_kept_with_its_counts(running: Running, approved: ModelRef) -> None:
    async def newest() -> tuple[float, dict[str, str] | None]:
        async with get_client() as client:
            found = await client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["training-progress"])),
                sort=ArtifactSort.UPDATED_DESC,
            )
            return found[0].data, found[0].metadata_

    with temporary_settings({PREFECT_API_URL: f"{running.addresses.prefect}/api"}):
        share, metadata = asyncio.run(newest())
    read = read_progress(metadata)
    assert read is not None
    assert (share, read[1].stage) == (100.0, "finished")


def test_a_rerun_says_what_is_done(running: Running, approved: ModelRef) -> None:
    recipe = choose_recipe("demo-synthetic", ROOT / "deployments" / "recipes")
    source = ArchiveSource.model_validate(FLOW_PARAMETERS["source"])
    words = find_continuation(source, recipe, running.store, running.settings.work)
    assert f"dataset {approved.dataset.id}" in words
    assert words.endswith(f"model {approved.id} is trained and evaluated")


def test_a_caller_may_set_a_limit(running: Running) -> None:
    with pytest.raises(LesionError, match=r"evaluate-local did not end within 0 s"):
        run_and_follow(running.addresses.prefect, "evaluate/evaluate-local", {}, timeout_seconds=0.0)


def test_a_server_that_is_gone_ends_the_watching_in_words(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SECONDS_UNANSWERED", 2.0)
    screen = _Recording()
    gone = runs._Following("http://127.0.0.1:9", "pipeline/pipeline-local", screen, lambda name, seconds: None)

    async def follow() -> None:
        with temporary_settings({PREFECT_API_URL: f"{running.addresses.prefect}/api"}):
            async with get_client() as client:
                found = await client.read_deployment_by_name("evaluate/evaluate-local")
                run = await client.create_flow_run_from_deployment(found.id)
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            async with get_client() as client:
                await gone._read(client, run)

    with pytest.raises(
        LesionError, match=r"server at http://127\.0\.0\.1:9 to answer, it has not for .*prefect-server"
    ):
        asyncio.run(follow())
