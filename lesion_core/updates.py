"""Updates of a step's progress, brought to whoever shows them by a thread of their own: the work never waits."""

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from lesion_core.progress import Progress, ProgressCallback

SECONDS_BETWEEN_UPDATES = 2.0
_SECONDS_TO_CLOSE = 15.0  # for the last words; a server that does not answer by then goes without
_STARTING, _FINISHED = "starting", "finished"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Update:
    """What the artifact is to say.

    Attributes:
        news: What was reported.
        share: Of the present stage, 0 to 100.
        description: In words.
    """

    news: Progress
    share: float
    description: str


class Courier:
    """Sends updates one after the other; of each stage the newest is sent, and the last one in any case.

    Args:
        send: Brings one update to the server; what it raises is logged and costs that update.
        seconds_between: Pause between two updates of one stage.
    """

    def __init__(self, send: Callable[[Update], None], seconds_between: float = SECONDS_BETWEEN_UPDATES) -> None:
        self._send, self._seconds = send, seconds_between
        self._waiting: deque[Update] = deque()  # one for each stage
        self._is_closing = False
        self._changed = threading.Condition()
        # With the context of whoever asks: it says which server, and as whom.
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._work,), name="progress", daemon=True
        )
        self._thread.start()

    def put(self, update: Update) -> None:
        """Leave an update to be sent; returns at once."""
        with self._changed:
            if self._waiting and self._waiting[-1].news.stage == update.news.stage:
                self._waiting.pop()
            self._waiting.append(update)
            self._changed.notify()

    def close(self, seconds: float = _SECONDS_TO_CLOSE) -> None:
        """Wait until everything is sent, but no longer than so many seconds."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        while (update := self._next()) is not None:
            try:
                self._send(update)
            except Exception as error:  # whatever a server or a network may raise
                log.warning("progress of %s could not be reported: %s", update.news.stage, error)
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or len(self._waiting) > 1, self._seconds)

    def _next(self) -> Update | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            return self._waiting.popleft() if self._waiting else None


@contextmanager
def reported(what: str, send: Callable[[Update], None]) -> Iterator[ProgressCallback]:
    """Bring a step's progress to ``send`` while the block runs, its end included.

    Args:
        what: The step's subject, such as the name of a recipe.
        send: Brings one update to the server; what it raises costs updates, not the work.
    """
    courier, latest = Courier(send), _Latest(what)
    courier.put(latest.after(latest.news))  # a child process takes a while before it can tell anything
    try:
        yield lambda news: courier.put(latest.after(news))
    except BaseException:
        courier.put(latest.stopped())
        raise
    else:
        courier.put(Update(Progress(stage=_FINISHED, done=1, total=1), 100.0, f"{what}: finished"))
    finally:
        courier.close()


@dataclass(slots=True)
class _Latest:
    """The latest report; within a stage the share never falls."""

    what: str
    news: Progress = field(default_factory=lambda: Progress(stage=_STARTING, done=0))
    share: float = 0.0

    def after(self, news: Progress) -> Update:
        share = min(100.0, 100.0 * news.done / news.total) if news.total else 0.0
        self.share = max(share, self.share) if news.stage == self.news.stage else share
        self.news = news
        return Update(news, self.share, f"{self.what}: {sentence(news)}")

    def stopped(self) -> Update:
        return Update(self.news, self.share, f"{self.what}: stopped at {sentence(self.news)}")


def read_progress(metadata: Mapping[str, Any] | None) -> tuple[str, Progress] | None:
    """Return subject and news from an artifact's metadata; ``None`` before the first update."""
    fields = dict(metadata or {})
    what = str(fields.pop("what", ""))
    try:
        return what, Progress.model_validate(fields)
    except ValidationError:
        return None


def sentence(news: Progress) -> str:
    """Return a progress report in words."""
    numbers = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in news.metrics.items())
    count = f"{news.done}/{news.total}" if news.total else str(news.done or "")
    return " · ".join(part for part in (news.stage, count, news.message, numbers) if part)
