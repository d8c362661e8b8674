"""What is retried, and how artifacts read."""

import inspect

import pytest
from prefect import task
from prefect.states import Failed

from lesion_core.errors import ArtifactCorrupt, ChildKilled, LesionError, SourceUnavailable
from tasks import publish
from tasks.policies import RETRY_TRANSIENT, retry_if_transient


@task
def nothing() -> None:
    """Stand in for a task; the condition does not look at it."""


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (SourceUnavailable("m"), True),
        (ChildKilled("m"), True),
        (ArtifactCorrupt("m"), False),
        (LesionError("m"), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_what_may_succeed_later_is_tried_again(error: Exception, again: bool) -> None:
    assert retry_if_transient(nothing, None, Failed(data=error)) is again  # type: ignore[arg-type]


def test_prefect_accepts_the_condition() -> None:
    """Prefect asks ``inspect.isfunction`` and silently never retries for any other callable."""
    assert inspect.isfunction(RETRY_TRANSIENT["retry_condition_fn"])
    assert RETRY_TRANSIENT["retries"] >= 1


def test_a_csv_becomes_a_markdown_table() -> None:
    assert publish.csv_as_markdown('epoch,loss\n1,"0,5"\n') == "| epoch | loss |\n| --- | --- |\n| 1 | 0,5 |"
