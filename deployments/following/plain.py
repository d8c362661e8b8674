"""Plain lines for a log: when a stage begins, now and then while it runs, and when it ends."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from deployments.following import words
from deployments.following.changes import Changes
from deployments.following.news import RunNews, TaskNews
from deployments.following.pace import Pace

_LEAST_SECONDS = 30.0
_LEAST_SHARE = 0.1


@dataclass(slots=True)
class _Said:
    """What was said last of a task, and when the next line may come at the earliest."""

    at: float
    stage: str = ""
    share: float = 0.0
    pause: float = _LEAST_SECONDS
    pace: Pace = field(default_factory=Pace)


class PlainScreen(AbstractContextManager["PlainScreen"]):
    """Lines without movement, few enough for a training of days.

    A line while a stage runs comes after a tenth more of it and half a minute, whichever is later; where nobody knows
    how much there is, after pauses that double.

    Args:
        console: Where to.
        stages: Task -> what it is called.
        clock: Seconds.
    """

    def __init__(
        self, console: Console, stages: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._stages, self._clock = console, stages, clock
        self._changes = Changes(console, stages)
        self._said: dict[str, _Said] = {}

    def __exit__(self, *_: object) -> None:
        """Do nothing: every line stands."""

    def show(self, news: RunNews) -> None:
        """Print what began, what ended, and what went on by enough to be said."""
        self._changes.tell(news)
        for task in news.tasks:
            if task.status == "running" and self._changes.is_stage(task):
                self._tell(task, _newest_within(task, news))

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(f"  … {escape(text)}")

    def _tell(self, task: TaskNews, moving: TaskNews) -> None:
        """Print a line of ``task``, whose progress is that of ``moving``: itself, or a task of its subflow."""
        now = self._clock()
        said = self._said.get(task.id)
        if said is None:
            self._said[task.id] = _Said(now)
            self._console.print(f"  · {escape(words.stage_of(task, self._stages))}: started")
            return
        if moving.progress is not None:
            said.pace.note(moving.progress, now)
        # The tasks of a subflow may be hundreds: what is said of them comes after longer and longer pauses.
        stage = "" if moving.progress is None or moving is not task else moving.progress.stage
        if _is_due(said, stage, None if moving is not task else words.share_of(moving.progress), now):
            self._console.print(f"  · {escape(self._line(task, moving, said.pace, now))}")

    def _line(self, task: TaskNews, moving: TaskNews, pace: Pace, now: float) -> str:
        news, own = moving.progress, words.stage_of(task, self._stages)
        inner = moving.what if moving is not task else ""
        if news is None:
            return f"{own}: {words.in_time(task.seconds)} so far"
        numbers = words.numbers_of(moving, pace, now).strip()
        return f"{own}: {', '.join(part for part in (inner, news.stage, numbers, news.message) if part)}"


def _is_due(said: _Said, stage: str, share: float | None, now: float) -> bool:
    """Say whether a line is due, and if so note that it is said."""
    is_new = stage != said.stage
    if now - said.at < (_LEAST_SECONDS if is_new else said.pause):
        return False
    if share is not None and not is_new and share < said.share + _LEAST_SHARE:
        return False
    said.pause = _LEAST_SECONDS if share is not None or is_new else 2 * said.pause
    said.at, said.stage, said.share = now, stage, share or 0.0
    return True


def _newest_within(task: TaskNews, news: RunNews) -> TaskNews:
    """Return the last begun task of the subflow that ``task`` stands for, or ``task`` itself."""
    below = [each for each in news.tasks if each.parent == task.id and each.status == "running"]
    return below[-1] if below else task
