"""Waiting for something that another process brings about: a server that listens, a file, a state."""

import time
from collections.abc import Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")


def wait_for(
    ask: Callable[[], _Answer],
    *,
    seconds: float,
    is_hopeless: Callable[[], bool] = lambda: False,
    pause_seconds: float = 0.2,
) -> _Answer | None:
    """Return the first true answer, else the last one, or ``None`` where it became hopeless.

    Args:
        ask: Looks for it; what it raises is raised.
        seconds: How long to go on asking.
        is_hopeless: Says before each question whether it will never come, such as where the process has ended:
            another may then answer in its place.
        pause_seconds: Between two questions.
    """
    deadline = time.monotonic() + seconds
    while not is_hopeless():
        answer = ask()
        if answer or time.monotonic() >= deadline:
            return answer
        time.sleep(pause_seconds)
    return None
