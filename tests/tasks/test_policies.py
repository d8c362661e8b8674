"""What is retried, and how artifacts read."""

import inspect

import pytest
from prefect import task
from prefect.states import Failed

from lesion_core.errors import ArtifactCorrupt, ChildKilled, LesionError, SourceUnavailable
from lesion_core.types import Progress
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


def test_a_server_that_does_not_answer_costs_news_and_no_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Server error '500 Internal Server Error'")

    monkeypatch.setattr(publish, "create_progress_artifact", lambda **_: "an id")
    monkeypatch.setattr(publish, "update_progress_artifact", refuse)
    with publish.progress("training-progress", "a recipe") as on_progress:
        on_progress(Progress(stage="training", done=1, total=2))
    assert "progress of training could not be told: Server error '500" in caplog.text
    assert "progress of the end could not be told: Server error '500" in caplog.text


def test_progress_reads_as_a_sentence() -> None:
    news = Progress(
        stage="training", done=3, total=12, message="epoch 1/4", metrics={"val_balanced_accuracy": 0.51234}
    )
    assert publish.sentence(news) == "training · 3/12 · epoch 1/4 · val balanced accuracy 0.5123"
