"""How a local stack takes the signals that end it."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def unwound_by_signals() -> Iterator[None]:
    """Let Ctrl-C, an ordinary kill and a closed terminal unwind the block, so that nothing is left behind.

    Ctrl-C is set here as well, because a shell starts what it puts in the background with it ignored. Under ``nohup``
    a closed terminal stays ignored: that is what it is for.
    """
    numbers = [number for number in _ENDING if number is not signal.SIGHUP or _is_heard(number)]
    previous = {number: signal.signal(number, _unwind) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """Go on with stopping: a second Ctrl-C must not leave processes behind. It takes seconds, and has a limit."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _is_heard(number: signal.Signals) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN


def _unwind(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
