"""How a run's tasks read on a terminal and in a log."""

from collections.abc import Mapping

from rich.markup import escape

from deployments.following.news import TaskNews
from deployments.following.pace import Pace
from lesion_core.progress import Progress

_LEAST_PARTS = 3  # of fewer parts a share says nothing
_LEAST_FOR_RATE = 20
_MARKS = {"failed": "[red]✗", "crashed": "[red]✗", "cancelled": "[yellow]–"}


def finished_line(stage: str, seconds: float, detail: str = "") -> str:
    """Return the line of a stage that is done, in rich's markup."""
    return f"  [green]✓[/] {escape(stage):<22} {seconds:7.1f} s   [dim]{escape(detail)}[/]".rstrip()


def ended_line(stage: str, task: TaskNews) -> str:
    """Return the line of a task that ended otherwise: failed, crashed or cancelled."""
    reason = f": {first_sentence(task.message)}" if task.message else ""
    mark = _MARKS[task.status]
    return f"  {mark}[/] {escape(stage):<22} {task.seconds:7.1f} s   {task.status}{escape(reason)}"


def retry_line(stage: str, task: TaskNews) -> str:
    """Return the line of a task that is tried again."""
    if task.status == "retrying":
        return f"  [yellow]↻[/] {escape(stage):<22} is tried again soon, after attempt {task.attempt}"
    return f"  [yellow]↻[/] {escape(stage):<22} is tried again: attempt {task.attempt}"


def first_sentence(text: str, most: int = 300) -> str:
    """Return the first line of a message, cut where it is very long."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= most else f"{line[:most]}…"


def stage_of(task: TaskNews, stages: Mapping[str, str]) -> str:
    """Return what a task is called: its stage, with what tells it from others of its kind."""
    known = stages.get(task.task, task.task)
    return f"{known} {task.name.partition(' ')[2]}".strip() if " " in task.name else known


def is_countable(news: Progress | None) -> bool:
    """Say whether a share of the stage means anything."""
    return news is not None and news.total is not None and news.total >= _LEAST_PARTS


def share_of(news: Progress | None) -> float | None:
    """Return how far the stage is, 0 to 1; ``None`` where nobody can tell."""
    if news is None or news.total is None or not is_countable(news):
        return None
    return min(1.0, news.done / news.total)


def numbers_of(task: TaskNews, pace: Pace, at: float) -> str:
    """Return how far a task is in its stage, how fast, and how long it still takes."""
    news, share = task.progress, share_of(task.progress)
    if news is None or share is None:
        counted = f"{news.done:,} done, " if news is not None and news.total is None and news.done else ""
        return f"{counted}{in_time(task.seconds)} so far" if task.status == "running" else "waits"
    parts = [f"{100 * share:3.0f} %", f"{news.done:,}/{news.total:,}"]
    rate, left = pace.per_second(at), pace.seconds_left(news, at)
    if rate and news.total is not None and news.total >= _LEAST_FOR_RATE:
        parts.append(f"{rate:,.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min")
    if left is not None and news.done < (news.total or 0):
        parts.append(f"{in_time(left, about=True)} left")
    return "  ".join(parts)


def in_time(seconds: float, *, about: bool = False) -> str:
    """Return a time in words; ``about`` rounds it as an estimate should be."""
    if about and seconds < 60:
        return f"about {max(10, round(seconds / 10) * 10)} s"
    minutes, rest = divmod(round(seconds), 60)
    if about:
        minutes, rest = round(seconds / 60), 0
    if minutes >= 60:
        return f"{'about ' if about else ''}{minutes // 60} h {minutes % 60:02d} min"
    if about:
        return f"about {minutes} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
