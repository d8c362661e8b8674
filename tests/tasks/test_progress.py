"""Progress reaches the server a stage at a time, and never holds up the work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lesion_core.progress import Progress
from lesion_core.updates import Courier, Update, read_progress, sentence
from tasks import progress as telling


def _update(stage: str, done: int, total: int = 10) -> Update:
    return Update(Progress(stage=stage, done=done, total=total), 0.0, "")


@contextmanager
def _held(seconds_between: float = 0.0) -> Iterator[tuple[Courier, list[tuple[str, int]], threading.Event]]:
    """A courier whose server does not answer before the event is set."""
    sent: list[tuple[str, int]] = []
    answers, began = threading.Event(), threading.Event()

    def send(update: Update) -> None:
        began.set()
        assert answers.wait(30)
        sent.append((update.news.stage, update.news.done))

    courier = Courier(send, seconds_between)
    courier.put(_update("start", 0))
    assert began.wait(30)
    yield courier, sent, answers
    courier.close()


def test_the_last_state_of_every_stage_is_sent_and_the_work_does_not_wait() -> None:
    with _held() as (courier, sent, answers):
        for stage in ("training", "export", "calibration"):
            for done in range(11):
                courier.put(_update(stage, done))  # returns though nothing was answered yet
        assert sent == []
        answers.set()
    assert sent == [("start", 0), ("training", 10), ("export", 10), ("calibration", 10)]


def test_a_pause_between_updates_ends_with_the_stage_and_with_the_work() -> None:
    with _held(seconds_between=60) as (courier, sent, answers):
        answers.set()
        courier.put(_update("training", 1))
        courier.put(_update("export", 0))  # a minute would be a long time to stand at 'training'
        courier.put(_update("export", 3))
    assert sent[-2:] == [("training", 1), ("export", 3)]


def test_a_server_that_answers_nothing_costs_seconds_at_the_end_and_no_work() -> None:
    with _held() as (courier, sent, answers):
        courier.put(_update("training", 10))
        courier.close(seconds=0.1)
        assert sent == []
        answers.set()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Update]:
    """What was written into the artifact, in the place of a server."""
    updates: list[Update] = []
    monkeypatch.setattr(telling, "create_progress_artifact", lambda **_: "an id")
    monkeypatch.setattr(telling, "_update", lambda artifact, what, update: updates.append(update))
    return updates


def test_within_a_stage_the_share_never_falls_and_starts_again_with_the_next(sent: list[Update]) -> None:
    with telling.progress("training-progress", "a recipe") as tell:
        for done, total in ((5, 10), (6, 20)):  # the total was found to be larger
            tell(Progress(stage="list", done=done, total=total))
        tell(Progress(stage="download", done=1, total=10))
    shares = {update.news.stage: update.share for update in sent}
    assert shares == {"starting": 0.0, "list": 50.0, "download": 10.0, "finished": 100.0}
    assert sent[-1].description == "a recipe: finished"


def test_work_that_fails_says_where_it_stopped(sent: list[Update]) -> None:
    def fail() -> None:
        with telling.progress("training-progress", "a recipe") as tell:
            tell(Progress(stage="training", done=3, total=12))
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert sent[-1].description == "a recipe: stopped at training · 3/12"
    assert sent[-1].share == 25.0


def test_a_server_that_refuses_costs_news_and_no_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Server error '500 Internal Server Error'")

    monkeypatch.setattr(telling, "create_progress_artifact", lambda **_: "an id")
    monkeypatch.setattr(telling, "_update", refuse)
    with telling.progress("training-progress", "a recipe") as tell:
        tell(Progress(stage="training", done=1, total=2))
    assert "progress of training could not be reported: Server error '500" in caplog.text
    assert "progress of finished could not be reported: Server error '500" in caplog.text
    caplog.clear()
    monkeypatch.setattr(telling, "create_progress_artifact", refuse)
    with telling.progress("training-progress", "a recipe") as tell:
        tell(Progress(stage="training", done=1, total=2))
    assert "progress of training could not be reported: Server error '500" in caplog.text


def test_counts_come_back_from_the_metadata() -> None:
    kept = {"what": "a recipe", "stage": "export", "done": "2", "total": "3", "message": "opening"}
    assert read_progress(kept) == ("a recipe", Progress(stage="export", done=2, total=3, message="opening"))
    assert read_progress(None) is None
    assert read_progress({"made": "by hand"}) is None


def test_progress_reads_as_a_sentence() -> None:
    news = Progress(
        stage="training", done=3, total=12, message="epoch 1/4", metrics={"val_balanced_accuracy": 0.51234}
    )
    assert sentence(news) == "training · 3/12 · epoch 1/4 · val balanced accuracy 0.5123"
