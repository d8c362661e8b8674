"""A line for each running task, moving on a terminal; what is done stays above as a line of its own."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

from deployments.following import words
from deployments.following.changes import Changes
from deployments.following.news import RunNews, TaskNews
from deployments.following.pace import Pace

_MOST_LINES = 12
_NARROW = 76  # columns: below, the bar gives way to the numbers


class LiveScreen(AbstractContextManager["LiveScreen"]):
    """Live lines by rich.

    Args:
        console: A terminal.
        stages: Task -> what it is called.
        clock: Seconds, for rates.
    """

    def __init__(
        self, console: Console, stages: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._stages, self._clock = console, stages, clock
        self._changes = Changes(console, stages)
        self._progress = Progress(*_columns(console.width), console=console, expand=True, refresh_per_second=4)
        self._lines: dict[str, TaskID] = {}
        self._paces: dict[str, Pace] = {}

    def __enter__(self) -> "LiveScreen":
        """Begin the live lines."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the live lines away; what was printed above them stays."""
        for line in self._lines.values():
            self._progress.remove_task(line)
        self._lines.clear()
        self._progress.stop()

    def show(self, news: RunNews) -> None:
        """Print what ended, and move the lines of what runs."""
        self._changes.tell(news)
        shown = _shown(news)
        for task_id in set(self._lines) - {task.id for task in shown}:
            self._progress.remove_task(self._lines.pop(task_id))
        for task in shown:
            self._move(task)

    def say(self, text: str) -> None:
        """Print a line above the moving ones."""
        self._console.print(f"  [yellow]…[/] {escape(text)}")

    def _move(self, task: TaskNews) -> None:
        pace, now = self._paces.setdefault(task.id, Pace()), self._clock()
        news = task.progress
        if news is not None:
            pace.note(news, now)
        is_countable = news is not None and words.is_countable(news)
        line: dict[str, Any] = {
            "description": escape(_name(task, self._stages)),
            "completed": news.done if news is not None and is_countable else 0,
            "total": news.total if news is not None and is_countable else None,
            "numbers": words.numbers_of(task, pace, now),
            "message": escape(news.message if news is not None else ""),
        }
        if task.id in self._lines:
            self._progress.update(self._lines[task.id], **line)
        else:
            self._lines[task.id] = self._progress.add_task(**line)


def _columns(width: int) -> list[ProgressColumn]:
    bar = [] if width < _NARROW else [BarColumn(bar_width=14)]
    return [
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        *bar,
        TextColumn("{task.fields[numbers]}", table_column=Column(no_wrap=True)),
        TextColumn("[dim]{task.fields[message]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    ]


def _shown(news: RunNews) -> list[TaskNews]:
    """Return the tasks that run or wait to be tried again; each subflow before its tasks."""
    running = [task for task in news.tasks if task.status in ("running", "retrying")]
    ordered: list[TaskNews] = []
    for task in running:
        if task.parent is None:
            ordered += [task, *(each for each in running if each.parent == task.id)]
    ordered += [task for task in running if task not in ordered]
    return ordered[:_MOST_LINES]


def _name(task: TaskNews, stages: Mapping[str, str]) -> str:
    stage = words.stage_of(task, stages)
    inner = task.progress.stage if task.progress is not None else ""
    own = (task.what or stage) if task.parent is not None else stage
    indented = "  " if task.parent is not None else ""
    return f"{indented}{own}{f' · {inner}' if inner and inner != own else ''}"
