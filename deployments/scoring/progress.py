"""How far a scoring is: a bar on a terminal, plain lines at intervals elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.progress import ProgressColumn as Column
from rich.text import Text

from lesion_core.progress import Progress

EVERY_SECONDS = 10.0


class ScoringProgress:
    """A progress callback that shows stage, images done and in all, rate and time left.

    Args:
        console: Where to; the summary goes to standard output, so this is standard error.
        every_seconds: Time between two lines where the console is no terminal.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        console: Console,
        *,
        every_seconds: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._every_seconds = every_seconds
        self._clock = clock
        self._last = Progress(stage="", done=0)
        self._started = self._reported = clock()
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        """Take the lower edge of a terminal."""
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), _Count(), _Rate(), _Left())
            self._bar = Bar(*columns, console=self._console, transient=True, get_time=self._clock)
            self._task = self._bar.add_task("", total=None, visible=False)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back; after an interruption say how far the work came."""
        if self._bar is not None:
            self._bar.stop()
        if kind is KeyboardInterrupt:
            of = f"{self._last.done:,} of {self._last.total:,} images" if self._last.total else "no image"
            self._print(f"Stopped after {of}. Nothing was written.")

    def __call__(self, progress: Progress) -> None:
        """Take a report."""
        is_new, self._last = progress.stage != self._last.stage, progress
        now = self._clock()
        if is_new:
            self._started = now
        if self._bar is not None:
            if is_new:
                self._bar.reset(self._task, description=progress.stage, total=progress.total, visible=True)
            self._bar.update(self._task, completed=progress.done)
        elif is_new or progress.done == progress.total or now - self._reported >= self._every_seconds:
            self._reported = now
            self._print(self._line(now - self._started))

    def _line(self, seconds: float) -> str:
        done, total = self._last.done, self._last.total
        if not total:
            return self._last.stage
        line = f"{self._last.stage}: {done:,} of {total:,} images"
        if done == total:
            return f"{line}, in {_clock_time(seconds)}"
        if not done or not seconds:
            return line
        rate = done / seconds
        return f"{line}, {rate:.1f} a second, {_clock_time((total - done) / rate)} left"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class _Count(Column):
    def render(self, task: Task) -> Text:
        """Return images done and in all; nothing for a stage that has no images."""
        return Text(f"{task.completed:,.0f}/{task.total:,.0f}" if task.total else "")


class _Rate(Column):
    def render(self, task: Task) -> Text:
        """Return images a second over the last of them."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class _Left(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        """Return the time left, in words that say so; nothing where it is not known."""
        left = task.time_remaining
        return Text("" if left is None or task.finished else f"{_clock_time(left)} left")


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
