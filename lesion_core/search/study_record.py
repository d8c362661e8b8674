"""A study as plain values: what every trial tried and how it ended, whatever library searched."""

from dataclasses import dataclass, field
from typing import Any, Literal

from lesion_core.search.study import Values

# 'lost': another trial counts in its place. Its study ended while it ran, and the other continues it; or it was the
# recipe itself and failed, and the other tries that again.
TrialStateName = Literal["running", "waiting", "complete", "pruned", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: In the study, from 0.
        values: Of the fields that the search varies.
        score: Validation score, where it is complete.
        epochs: Selection score by epoch, from 1, as far as it came.
        is_base: Whether it is the recipe that the search started from.
        trial: Id of what it left in the store.
        reason: Why it failed, or after which epoch it was given up.
        seconds: From its order to its end.
    """

    number: int
    state: TrialStateName
    values: Values
    score: float | None = None
    epochs: dict[int, float] = field(default_factory=dict)
    is_base: bool = False
    trial: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """All trials of a study, by number."""

    trials: tuple[TrialRecord, ...]

    def of_state(self, *states: TrialStateName) -> list[TrialRecord]:
        """Return the trials in one of these states, by number."""
        return [trial for trial in self.trials if trial.state in states]

    @property
    def told(self) -> list[TrialRecord]:
        """The trials that count: complete, pruned and failed."""
        return self.of_state("complete", "pruned", "failed")

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial with the highest score; of equal ones the first."""
        scored = [(trial.score, -trial.number, trial) for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda item: item[:2])[2] if scored else None

    @property
    def base(self) -> TrialRecord | None:
        """The complete trial of the recipe that the search started from."""
        return next((trial for trial in self.of_state("complete") if trial.is_base), None)

    def in_words(self) -> str:
        """Return how the trials ended, in one phrase."""
        counts = [(len(self.of_state(state)), state) for state in ("complete", "pruned", "failed", "running")]
        return ", ".join(f"{n} {state}" for n, state in counts if n) or "none yet"

    def rows(self) -> list[dict[str, Any]]:
        """Return the trials as rows of a table, by number; what is unknown is empty."""
        return [
            {
                "trial": trial.number,
                "state": trial.state,
                "score": "" if trial.score is None else round(trial.score, 4),
                "epochs": max(trial.epochs, default=0),
                **{path: "" if value is None else value for path, value in trial.values.items()},
                "seconds": round(trial.seconds, 1),
                "note": " · ".join(part for part in ("base" if trial.is_base else "", trial.reason) if part),
                "stored": trial.trial,
            }
            for trial in self.trials
        ]
