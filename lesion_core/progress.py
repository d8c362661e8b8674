"""How far a stage of a step is, reported part by part."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import Field

from lesion_core.types import Value

log = logging.getLogger(__name__)


class Progress(Value):
    """One line of news from a running step."""

    stage: str = Field(description="'download', 'records', 'epoch', 'evaluate' …")
    done: int = Field(ge=0)
    total: int | None = Field(default=None, ge=0)
    message: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Accept a progress report and do nothing with it."""


def reported_if_possible(on_progress: ProgressCallback) -> ProgressCallback:
    """Return a callback that hands reports on and logs where that fails: work does not end with who watches it."""

    def tell(progress: Progress) -> None:
        try:
            on_progress(progress)
        except Exception as error:  # whatever a screen, a server or a network may raise
            log.warning("progress of %s could not be reported: %s", progress.stage, error)

    return tell


@dataclass(slots=True)
class Tally:
    """Counts the parts of one stage and tells them on.

    Attributes:
        on_progress: Hears of each count.
        stage: The stage's name; a step has one stage after the other.
        total: Parts in all; ``None`` where nobody knows.
        done: Parts that are done.
    """

    on_progress: ProgressCallback
    stage: str
    total: int | None = None
    done: int = 0

    def tell(self, message: str = "") -> None:
        """Say how far it is, and what is worked on now."""
        self.on_progress(Progress(stage=self.stage, done=self.done, total=self.total, message=message))

    def add(self, n: int = 1, message: str = "") -> None:
        """Count ``n`` more parts and say so."""
        self.done += n
        self.tell(message)

    @contextmanager
    def part(self, message: str) -> Iterator[None]:
        """Name one part as it begins and count it as it ends."""
        self.tell(message)
        yield
        self.done += 1
        if self.done == self.total:
            self.tell(message)
