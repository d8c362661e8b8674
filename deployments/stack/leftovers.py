"""Runs without a stack: cancelled as their stack stops, and marked as crashed where it was killed.

A flow run's state lives in the server's database and survives everything. Without this, a run whose process is gone
says "Running" for ever, and the slots that it took (a training's, a deployment's) stay taken until their leases end.
"""

import datetime
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed

from deployments.stack.clients import asking

STOPPED = "The local stack was stopped during this run. Started again, it goes on from what is stored."
GONE = (
    "The local stack that this ran on ended without stopping it (a kill -9, a power cut). Started again, it goes on "
    "from what is stored."
)
_UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
_PAGE = 100
log = logging.getLogger(__name__)


def cancel_runs(server: str) -> int:
    """Set what runs, waits or is due on a stack that stops to Cancelled; return how many flow runs.

    What a schedule will start later, or has started late, stays: it is for the stack's next time.
    """
    with asking(server) as client:
        runs = [
            *_runs(client, [*_UNDER_WAY, StateType.PAUSED]),
            *filter(_is_due, _runs(client, [StateType.SCHEDULED])),
        ]
        return _end(client, runs, lambda: Cancelled(message=STOPPED))


def mark_crashed(server: str, home: Path) -> int:
    """Set what a stack that is gone left under way to Crashed, and free every slot; return how many flow runs.

    To be called before anything of this stack can run.

    Args:
        server: Address of the stack's Prefect server, without ``/api``.
        home: The stack's folder; the server keeps its leases there.
    """
    with asking(server) as client:
        n_ended = _end(client, _runs(client, _UNDER_WAY), lambda: Crashed(message=GONE))
        for lease in _leases(home):
            client.release_concurrency_slots_with_lease(lease)
        for limit in client.read_global_concurrency_limits(limit=200):
            if limit.active_slots and not limit.slot_decay_per_second:  # taken under a lease that was lost
                client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=0))
        return n_ended


def _runs(client: SyncPrefectClient, types: list[StateType]) -> list[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found)):
        found += page
    return found


def _is_due(run: FlowRun) -> bool:
    return not run.auto_scheduled and (run.next_scheduled_start_time or _now()) <= _now()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _end(client: SyncPrefectClient, runs: list[FlowRun], state: Callable[[], State]) -> int:
    for run in runs:
        for task in _task_runs(client, run.id):
            client.set_task_run_state(task, state(), force=True)
        client.set_flow_run_state(run.id, state(), force=True)
        log.info("%s: %s", run.name, state().message)
    return len(runs)


def _task_runs(client: SyncPrefectClient, run: UUID) -> Iterator[UUID]:
    found = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])),
        task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=_UNDER_WAY))),
        limit=200,
    )
    return (task.id for task in found)


def _leases(home: Path) -> Iterator[UUID]:
    for path in (home / "prefect" / "concurrency_leases").glob("*.json"):
        try:
            yield UUID(json.loads(path.read_text())["id"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the index of all leases, or one half-written
