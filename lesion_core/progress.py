"""How far a stage of a step is, told part by part."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lesion_core.types import Progress, ProgressCallback


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
