"""How fast a stage goes and how long it still takes, from what was seen of it."""

from collections import deque
from dataclasses import dataclass, field

from lesion_core.progress import Progress

_WINDOW_SECONDS = 300.0  # a stage's parts do not all take the same time; what was long ago counts no more
_LEAST_SECONDS = 10.0
_LEAST_CHANGES = 4
_STALE = 4.0  # times the usual time between two changes, without one: the rate is not that of now


@dataclass(slots=True)
class Pace:
    """The pace of one task's present stage; another stage starts afresh.

    It says nothing before it has seen enough: some changes, over some seconds.
    """

    _stage: str = ""
    _seen: deque[tuple[float, int]] = field(default_factory=deque)  # time and count of each change

    def note(self, news: Progress, at: float) -> None:
        """Take in what was reported by time ``at`` (seconds of any clock that does not go back)."""
        if news.stage != self._stage or (self._seen and news.done < self._seen[-1][1]):
            self._stage = news.stage
            self._seen.clear()
        if not self._seen or news.done > self._seen[-1][1]:
            self._seen.append((at, news.done))
        while len(self._seen) > _LEAST_CHANGES and self._seen[0][0] < at - _WINDOW_SECONDS:
            self._seen.popleft()

    def per_second(self, at: float) -> float | None:
        """Return the parts done in a second; ``None`` where too little was seen, or nothing for a while."""
        if len(self._seen) < _LEAST_CHANGES:
            return None
        (began, first), (latest, last) = self._seen[0], self._seen[-1]
        spent = latest - began
        if spent < _LEAST_SECONDS or at - latest > max(_LEAST_SECONDS, _STALE * spent / (len(self._seen) - 1)):
            return None
        return (last - first) / spent

    def seconds_left(self, news: Progress, at: float) -> float | None:
        """Return the time until the stage's last part; ``None`` where nobody can tell yet."""
        rate = self.per_second(at)
        if rate is None or news.total is None:
            return None
        return max(0.0, (news.total - news.done) / rate - (at - self._seen[-1][0]))
