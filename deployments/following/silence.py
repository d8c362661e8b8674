"""What is said of a run in which nothing moves: for how long, and what it waits for."""

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from deployments.following import words
from deployments.following.news import RunNews, TaskNews
from tasks.policies import TRAINING_LIMIT, TRANSFER_LIMIT

SECONDS_TO_WORK = 120.0  # without a change of any state or progress
SECONDS_TO_START = 30.0
# Task -> limit that it takes a slot of before it tells any progress.
_SLOTS: Mapping[str, str] = {
    "train-model": TRAINING_LIMIT,
    "distill-model": TRAINING_LIMIT,
    "fine-tune-model": TRAINING_LIMIT,
    "trial": TRAINING_LIMIT,
    "fetch-shard": TRANSFER_LIMIT,
}
_NOT_STARTED = frozenset({"Scheduled", "Late", "Pending", "AwaitingConcurrencySlot", "AwaitingRetry", ""})


@dataclass(slots=True)
class Silence:
    """Measures how long nothing has moved; speaks after a while, and then after pauses that double."""

    clock: Callable[[], float] = time.monotonic
    _last: object = None
    _since: float = field(init=False)
    _pause: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._since = self.clock()

    def note(self, news: RunNews) -> float | None:
        """Return for how many seconds nothing has moved, where that is to be said now."""
        signature = (news.state, tuple((task.id, task.status, task.attempt, task.progress) for task in news.tasks))
        if signature != self._last:
            self._last, self._since, self._pause = signature, self.clock(), 0.0
            return None
        quiet = self.clock() - self._since
        first = SECONDS_TO_START if news.state in _NOT_STARTED else SECONDS_TO_WORK
        if quiet < max(first, self._pause):
            return None
        self._pause = 2 * quiet
        return quiet


async def explain(client: PrefectClient, run: FlowRun, news: RunNews, quiet: float) -> str:
    """Return in words what a run in which nothing has moved for ``quiet`` seconds waits for."""
    worker = await _workers(client, run.work_pool_name)
    if news.state in _NOT_STARTED:
        return f"the run has not begun for {words.in_time(quiet)} ({news.state or 'no state'}): {worker}"
    running = [task for task in news.tasks if task.status in ("running", "retrying")]
    doing = [await _doing(client, task) for task in running if not any(each.parent == task.id for each in running)]
    return f"nothing new for {words.in_time(quiet)}: {'; '.join(doing) or 'no task runs'}; {worker}"


async def _doing(client: PrefectClient, task: TaskNews) -> str:
    name = words.stage_of(task, {})
    limit = _SLOTS.get(task.task)
    if task.progress is None and limit is not None:
        slots = await client.read_global_concurrency_limit_by_name(limit)
        if slots.active_slots >= slots.limit:
            return f"{name} waits for a slot of the limit '{limit}' ({slots.active_slots} of {slots.limit} are taken)"
    if task.progress is None:
        return f"{name} runs and has reported nothing yet"
    part = ", ".join(each for each in (task.progress.stage, task.progress.message) if each)
    return f"{name} is at {part}"


async def _workers(client: PrefectClient, pool: str | None) -> str:
    """Return in words whether anybody is there to carry the run out."""
    if pool is None:
        return "its deployment names no work pool"
    workers = await client.read_workers_for_work_pool(pool)
    online = [worker for worker in workers if str(getattr(worker.status, "value", worker.status)) == "ONLINE"]
    if online:
        return f"worker {', '.join(sorted(worker.name for worker in online))} of work pool '{pool}' is online"
    seen = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
    if not seen:
        return f"no worker of work pool '{pool}' is online; start one: prefect worker start --pool {pool}"
    ago = (datetime.datetime.now(datetime.UTC) - max(seen)).total_seconds()
    return (
        f"no worker of work pool '{pool}' is online, the last was seen {words.in_time(ago)} ago; start one: "
        f"prefect worker start --pool {pool}"
    )
