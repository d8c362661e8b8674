"""How far a scoring is: a bar on a terminal, lines at intervals elsewhere, and where it came after Ctrl-C."""

import io
import re

import pytest
from rich.console import Console

from deployments.scoring.progress import ScoringProgress
from deployments.scoring.run import LOADING, SCORING
from lesion_core.progress import Progress


class Clock:
    """Seconds that the test lets pass."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def tell_of(progress: ScoringProgress, clock: Clock, *, until: int, total: int = 40) -> None:
    """Report a scoring of an image in two seconds."""
    progress(Progress(stage=LOADING, done=0))
    clock.now += 3
    for done in range(until + 1):
        progress(Progress(stage=SCORING, done=done, total=total))
        clock.now += 2


def test_elsewhere_than_on_a_terminal_there_is_a_line_at_intervals() -> None:
    console = Console(file=io.StringIO(), width=20)
    clock = Clock()
    with ScoringProgress(console, every_seconds=30, clock=clock) as progress:
        tell_of(progress, clock, until=40)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.splitlines() == [
        "loading the model",
        "scoring: 0 of 40 images",
        "scoring: 15 of 40 images, 0.5 a second, 0:50 left",
        "scoring: 30 of 40 images, 0.5 a second, 0:20 left",
        "scoring: 40 of 40 images, in 1:20",
    ]
    assert "\x1b" not in text
    assert "\r" not in text


def test_on_a_terminal_there_is_a_bar_with_rate_and_time_left() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    clock = Clock()
    with ScoringProgress(console, clock=clock) as progress:
        tell_of(progress, clock, until=20)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())  # type: ignore[attr-defined]
    assert re.search(r"scoring .* 20/40 0\.5/s 0:40 left", text)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("until", "words"), [(7, "Stopped after 7 of 40 images"), (-1, "Stopped after no image")])
def test_an_interruption_says_how_far_it_came(terminal: bool, until: int, words: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with pytest.raises(KeyboardInterrupt):
        _be_interrupted(console, until)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.rstrip("\n").endswith(f"{words}. Nothing was written.")


def _be_interrupted(console: Console, until: int) -> None:
    clock = Clock()
    with ScoringProgress(console, clock=clock) as progress:
        tell_of(progress, clock, until=until)
        raise KeyboardInterrupt
