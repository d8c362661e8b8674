"""What shows a run while it goes on: live lines on a terminal, plain lines anywhere else."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console

from deployments.following.live import LiveScreen
from deployments.following.news import RunNews
from deployments.following.plain import PlainScreen


class Screen(AbstractContextManager["Screen"], Protocol):
    """Shows the news of one run; a context, for as long as the run is followed."""

    def show(self, news: RunNews) -> None:
        """Take in how the run stands now."""

    def say(self, text: str) -> None:
        """Print one line that is no stage, such as what the run waits for."""


class NoScreen(AbstractContextManager["NoScreen"]):
    """Shows nothing."""

    def show(self, news: RunNews) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


def choose_screen(console: Console, stages: Mapping[str, str]) -> Screen:
    """Return live lines where ``console`` writes to a terminal that can move its cursor, else plain ones.

    Args:
        console: Where to.
        stages: Task -> what it is called; a task that is not named here has no line of its own once it is done.
    """
    is_terminal = console.is_interactive and not console.is_dumb_terminal and _is_a_terminal(console)
    return LiveScreen(console, stages) if is_terminal else PlainScreen(console, stages)


def _is_a_terminal(console: Console) -> bool:
    """Ask the file itself: FORCE_COLOR makes rich take a log for a terminal, and colours are no cursor."""
    return bool(getattr(console.file or sys.stdout, "isatty", lambda: False)())
