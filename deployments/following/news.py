"""How a flow run stands, read from Prefect's server: its tasks and those of its subflows, with their progress."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, TaskRun
from prefect.client.schemas.sorting import ArtifactSort, TaskRunSort

from lesion_core.progress import Progress
from lesion_core.updates import read_progress

Status = Literal["waiting", "running", "retrying", "done", "failed", "crashed", "cancelled"]
ENDED: frozenset[Status] = frozenset({"done", "failed", "crashed", "cancelled"})
_PAGE = 200  # rows that the server returns at once
_STATUS: Mapping[StateType, Status] = {
    StateType.SCHEDULED: "waiting",
    StateType.PENDING: "waiting",
    StateType.PAUSED: "waiting",
    StateType.RUNNING: "running",
    StateType.COMPLETED: "done",
    StateType.FAILED: "failed",
    StateType.CRASHED: "crashed",
    StateType.CANCELLED: "cancelled",
    StateType.CANCELLING: "cancelled",
}


@dataclass(frozen=True, slots=True)
class TaskNews:
    """How one task run stands.

    Attributes:
        id: Of the task run.
        task: Name of the task, such as 'train-model'; of a subflow, the flow's.
        name: Name of the run, such as 'train-model isic-cpu fold 2'.
        status: How it stands.
        seconds: It has run so long.
        attempt: From 1; higher after a retry.
        parent: Id of the task run that stands for its subflow; ``None`` for a task of the run itself.
        what: Subject of its progress, such as a recipe's name.
        progress: The latest that it reported.
        message: Of its state: why it failed or is tried again.
    """

    id: str
    task: str
    name: str
    status: Status
    seconds: float = 0.0
    attempt: int = 1
    parent: str | None = None
    what: str = ""
    progress: Progress | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunNews:
    """How a flow run stands: the name of its state, and its tasks by start."""

    state: str
    tasks: tuple[TaskNews, ...] = ()


async def read_news(client: PrefectClient, run: FlowRun) -> RunNews:
    """Ask the server for all tasks of ``run`` and of its subflows."""
    parents = await _flow_runs(client, run)
    reported = await _progress(client, list(parents))
    tasks = [_task_news(task, parents, reported) for task in await _task_runs(client, list(parents))]
    return RunNews(run.state.name or "" if run.state else "", tuple(tasks))


def task_of(run_name: str) -> str:
    """Return the task's name from that of its run: 'evaluate-model-1f4', or 'train-model isic-cpu fold 2'."""
    return run_name.partition(" ")[0] if " " in run_name else run_name.rpartition("-")[0]


async def _flow_runs(client: PrefectClient, run: FlowRun) -> dict[UUID, str | None]:
    """Return the run and its subflows, each with the task run that stands for it."""
    parents: dict[UUID, str | None] = {run.id: None}
    level = [run.id]
    while level:
        below = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=level)), limit=_PAGE
        )
        level = [each.id for each in below if each.id not in parents]
        parents |= {each.id: str(each.parent_task_run_id) for each in below}
    return parents


async def _task_runs(client: PrefectClient, flow_runs: list[UUID]) -> list[TaskRun]:
    """Return all task runs, by the time at which they were expected to start, page by page."""
    found: list[TaskRun] = []
    while True:
        page = await client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=flow_runs)),
            sort=TaskRunSort.EXPECTED_START_TIME_ASC,
            limit=_PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < _PAGE:
            return found


async def _progress(client: PrefectClient, flow_runs: list[UUID]) -> dict[UUID, tuple[str, Progress]]:
    """Return subject and latest progress by task run; of a task that was tried again, that of the last attempt."""
    artifacts = await client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=flow_runs), type=ArtifactFilterType(any_=["progress"])
        ),
        sort=ArtifactSort.UPDATED_DESC,
        limit=_PAGE,
    )
    reported: dict[UUID, tuple[str, Progress]] = {}
    for artifact in artifacts:
        read = read_progress(artifact.metadata_)
        if artifact.task_run_id is not None and read is not None:
            reported.setdefault(artifact.task_run_id, read)
    return reported


def _task_news(
    task: TaskRun, parents: Mapping[UUID, str | None], reported: Mapping[UUID, tuple[str, Progress]]
) -> TaskNews:
    what, progress = reported.get(task.id, ("", None))
    status = _status_of(task.state)
    spent = task.total_run_time if status in ENDED else task.estimated_run_time
    return TaskNews(
        id=str(task.id),
        task=task_of(task.name),
        name=task.name,
        status=status,
        seconds=spent.total_seconds(),
        attempt=max(1, task.run_count),
        parent=parents.get(task.flow_run_id) if task.flow_run_id else None,
        what=what,
        progress=progress,
        message=(task.state.message or "") if task.state else "",
    )


def _status_of(state: State | None) -> Status:
    if state is None:
        return "waiting"
    if state.type == StateType.SCHEDULED and state.name == "AwaitingRetry":
        return "retrying"
    return _STATUS[state.type]
