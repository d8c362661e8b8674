"""How often one looks for a word that has not come."""

import math
import time
from collections.abc import Callable

from lesion_core.stores.protocol import Store

POLL_SECONDS = 0.3
LONGEST_SECONDS = 5.0
_GROWTH = 1.5


class Pace:
    """Looks that come ever later while nothing is found, and soon again after news.

    In a directory a look costs next to nothing and is made every ``POLL_SECONDS``. At a server each look is a request
    that somebody pays for: there the pause grows by half each time, so that a word is found at the latest after half
    as long again as it took to come, and never more than ``LONGEST_SECONDS`` after it.

    Args:
        store: Where is looked.
        clock: Monotonic seconds.
        first_seconds: The pause after news; at a server alone, where it may be longer than that of a directory.
    """

    def __init__(
        self, store: Store, clock: Callable[[], float] = time.monotonic, *, first_seconds: float = POLL_SECONDS
    ) -> None:
        self._is_free = store.root is not None
        self._clock = clock
        self._first = POLL_SECONDS if self._is_free else first_seconds
        self._pause = self._first
        self._due = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next look."""
        return self._is_free or self._clock() >= self._due

    def looked(self, *, has_news: bool) -> float:
        """Note a look, and return the seconds until the next one."""
        if has_news:
            self._pause = self._first
        pause = self._pause
        if not self._is_free:
            self._due = self._clock() + pause
            self._pause = min(pause * _GROWTH, LONGEST_SECONDS)
        return pause
