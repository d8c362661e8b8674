"""Start a deployment through Prefect's API and follow it to its end."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import ArtifactSort

from deployments.clients import DIRECT, own_settings
from lesion_core.errors import LesionError

StageCallback = Callable[[str, float], None]
NewsCallback = Callable[[str], None]
_POLL_SECONDS = 0.5


def run_and_follow(
    server: str,
    deployment: str,
    parameters: Mapping[str, Any],
    *,
    on_stage: StageCallback,
    on_news: NewsCallback = lambda news: None,
    timeout_seconds: float = 3600,
) -> FlowRun:
    """Start a deployment and wait until its run ends.

    Args:
        server: Address of the Prefect server, without ``/api``.
        deployment: ``flow/deployment``.
        parameters: JSON-serialisable flow parameters.
        on_stage: Called with the task's name and its seconds as each task run completes.
        on_news: Called with the running stage's progress, in words.
        timeout_seconds: Longest time to wait.

    Raises:
        LesionError: The run failed, crashed, or did not end in time; the message holds Prefect's own.
    """
    with own_settings(server):
        return asyncio.run(_run_and_follow(deployment, parameters, on_stage, on_news, timeout_seconds))


async def _run_and_follow(
    deployment: str,
    parameters: Mapping[str, Any],
    on_stage: StageCallback,
    on_news: NewsCallback,
    timeout_seconds: float,
) -> FlowRun:
    async with get_client(httpx_settings=DIRECT) as client:
        found = await client.read_deployment_by_name(deployment)
        run = await client.create_flow_run_from_deployment(found.id, parameters=dict(parameters))
        seen: set[UUID] = set()
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            run = await client.read_flow_run(run.id)
            for task in await _completed_tasks(client, run.id):
                if task.id not in seen:
                    seen.add(task.id)
                    on_stage(_stage_of(task.name), task.total_run_time.total_seconds())
            on_news(await _latest_progress(client, run.id))
            if run.state is not None and run.state.is_final():
                return _completed(run, deployment)
            await asyncio.sleep(_POLL_SECONDS)
    raise LesionError(
        f"{deployment} did not end within {timeout_seconds:.0f} s; see run {run.name} in the Prefect UI"
    )


def _stage_of(run_name: str) -> str:
    """Return the task's name from that of its run: 'evaluate-model-1f4', or 'train-model isic-cpu fold 2'."""
    return run_name.partition(" ")[0] if " " in run_name else run_name.rpartition("-")[0]


async def _completed_tasks(client: PrefectClient, flow_run: UUID) -> list[TaskRun]:
    tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])), limit=200)
    done = [task for task in tasks if task.state is not None and task.state.is_completed() and task.end_time]
    return sorted(done, key=lambda task: str(task.end_time))


async def _latest_progress(client: PrefectClient, flow_run: UUID) -> str:
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]), type=ArtifactFilterType(any_=["progress"])
        ),
        sort=ArtifactSort.UPDATED_DESC,
        limit=1,
    )
    return (found[0].description or "") if found else ""


def _completed(run: FlowRun, deployment: str) -> FlowRun:
    assert run.state is not None
    if not run.state.is_completed():
        raise LesionError(f"{deployment} ended as {run.state.name}: {run.state.message}", flow_run=str(run.id))
    return run
