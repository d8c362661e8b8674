"""How tasks are retried, and how many of a kind may run at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.tasks import exponential_backoff

TRAINING_LIMIT = "training"
TRANSFER_LIMIT = "archive-transfer"


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
def transfer_slot() -> Iterator[None]:
    """Wait for a place among the shards that may be fetched at once, whatever flow or worker they belong to.

    Strict: without the limit, which ``lesion deploy`` creates, this fails instead of running unlimited.
    """
    with concurrency(TRANSFER_LIMIT, occupy=1, strict=True):
        yield


@contextmanager
def training_slot() -> Iterator[None]:
    """Wait for a place among the trainings that may run at once.

    Strict: without the limit, which ``lesion deploy`` creates, this fails instead of running unlimited.
    """
    with concurrency(TRAINING_LIMIT, occupy=1, strict=True):
        yield
