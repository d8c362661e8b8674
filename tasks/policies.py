"""How tasks are retried, and how many of a kind may run at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.tasks import exponential_backoff

from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from tasks.waiting import held_by

TRAINING_LIMIT = "training"
TRANSFER_LIMIT = "archive-transfer"
_SECONDS_BETWEEN_LOOKS = 2.0


def retry_if_transient(task: Task[Any, Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Say whether a failed task may be tried again: only where the error's class says so.

    A plain function on purpose: Prefect silently disables retries for any other callable.
    """
    try:
        state.result()
    except Exception as error:
        return bool(getattr(error, "transient", False))
    return False


# Outputs are content-addressed in the store, so a task that already ran returns at once by itself;
# Prefect's own cache would go stale where core code changes behind a thin task.
RETRY_TRANSIENT: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": retry_if_transient,
    "cache_policy": NO_CACHE,
}


@contextmanager
def transfer_slot(on_progress: ProgressCallback = ignore_progress) -> Iterator[None]:
    """Wait for a place among the shards that may be fetched at once, whatever flow or worker they belong to.

    Strict: without the limit, which ``lesion deploy`` creates, this fails instead of running unlimited.
    """
    with _slot(TRANSFER_LIMIT, "a place among the transfers", on_progress):
        yield


@contextmanager
def training_slot(on_progress: ProgressCallback = ignore_progress) -> Iterator[None]:
    """Wait for a place among the trainings that may run at once, and say in log and progress for whom.

    Strict: without the limit, which ``lesion deploy`` creates, this fails instead of running unlimited.
    """
    with _slot(TRAINING_LIMIT, "a place among the trainings", on_progress):
        yield


@contextmanager
def _slot(limit: str, what: str, on_progress: ProgressCallback) -> Iterator[None]:
    """Hold a slot once one is free.

    Looked for every two seconds: Prefect waits without a word, and up to half a minute longer than it must. Where
    another takes the slot in between, it is Prefect that waits.
    """
    said = ""
    while holder := _holder(limit):
        news = f"waiting for {what}, held by {holder}"
        if news != said:
            get_run_logger().info(news)
        on_progress(Progress(stage=news, done=0))
        said = news
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    with concurrency(limit, occupy=1, strict=True):
        yield


def _holder(limit: str) -> str:
    try:
        return held_by(limit)
    except Exception as error:  # whatever a server or a network may raise; taking the slot comes to a verdict
        get_run_logger().info("who holds the limit %r could not be determined: %s", limit, error)
        return ""
