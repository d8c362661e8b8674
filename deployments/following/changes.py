"""Which tasks began, ended or were tried again since the last news."""

from collections.abc import Iterator, Mapping

from rich.console import Console

from deployments.following import words
from deployments.following.news import ENDED, RunNews, TaskNews


class Changes:
    """Remembers what was said of each task, so that it is said once.

    Args:
        console: Where lines go that stay.
        stages: Task -> what it is called.
    """

    def __init__(self, console: Console, stages: Mapping[str, str]) -> None:
        self._console, self._stages = console, stages
        self._ended: set[str] = set()
        self._tried: dict[str, int] = {}  # attempts that were spoken of

    def tell(self, news: RunNews) -> None:
        """Print the lines of the tasks that ended, or are tried again, since the last time."""
        for task in news.tasks:
            self._tell_retry(task)
        for task in self._newly_ended(news):
            stage = words.stage_of(task, self._stages)
            if task.status != "done":
                self._console.print(words.ended_line(stage, task))
            elif self.is_stage(task):
                self._console.print(words.finished_line(stage, task.seconds, task.what))

    def is_stage(self, task: TaskNews) -> bool:
        """Say whether a task has a line of its own that stays: one of the run itself, and a known one."""
        return task.parent is None and task.task in self._stages

    def _newly_ended(self, news: RunNews) -> Iterator[TaskNews]:
        for task in news.tasks:
            if task.status in ENDED and task.id not in self._ended:
                self._ended.add(task.id)
                yield task

    def _tell_retry(self, task: TaskNews) -> None:
        attempt = task.attempt + (task.status == "retrying")
        if attempt > max(1, self._tried.get(task.id, 1)) and task.status not in ENDED:
            self._tried[task.id] = attempt
            self._console.print(words.retry_line(words.stage_of(task, self._stages), task))
