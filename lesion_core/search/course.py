"""The course of a study: trials are started, listened to, pruned and reported to Optuna until all have ended."""

import contextlib
import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lesion_core.errors import ConfigError, StoreError, StudyEnded, TrainingError
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.refs import TrialRef
from lesion_core.search import signals
from lesion_core.search.pace import POLL_SECONDS, Pace
from lesion_core.search.proposals import Search, opened_search
from lesion_core.search.study import StudyPlan
from lesion_core.search.study_record import StudyRecord
from lesion_core.search.trial_spec import TrialOrder, TrialOutcome
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store

# Asked while a trial runs: ``None`` as long as it does, then its outcome; raises what ended it.
Ask = Callable[[], TrialOutcome | None]
Start = Callable[[TrialOrder], Ask]


@dataclass(slots=True)
class _Running:
    order: TrialOrder
    ask: Ask
    pace: Pace
    is_given_up: bool = False
    heard: set[int] = field(default_factory=set)  # epochs


def conduct(
    plan: StudyPlan,
    *,
    store: Store,
    settings: LesionSettings,
    start: Start,
    on_progress: ProgressCallback = ignore_progress,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> StudyRecord:
    """Run what a study still lacks of its trials and return all of them.

    Where this is ended by an error, a signal or Ctrl-C, the trials that run are stopped too; they keep their
    checkpoints and are continued when the study is run again.

    Args:
        plan: As ``plan_study`` returns it.
        store: Shared with whoever runs the trials.
        settings: How many trials at a time, and where the study is kept.
        start: Starts a trial and returns how to ask for its outcome.
        on_progress: Hears how many trials have ended, and the best score so far.
        clock: Seconds, for the study's time limit.
        sleep: Waits between two looks at the trials.

    Raises:
        ConfigError: Another process runs this study, or its storage is invalid.
        TrainingError: The recipe's own trial failed, so no trial can be compared with it; it is tried again first
            when the study is run again.
        StoreUnavailable: Store or database do not answer.
    """
    with opened_search(plan, settings) as search:
        course = _Course(search, store, start, clock)
        try:
            course.run(settings.trials_at_once, _deadline(plan, clock), on_progress, sleep)
        finally:
            course.halt()
        return search.record()


def _deadline(plan: StudyPlan, clock: Callable[[], float]) -> float:
    minutes = plan.spec.timeout_minutes
    return math.inf if minutes is None else clock() + 60 * minutes


class _Course:
    """The trials under way, and the study that they belong to."""

    def __init__(self, search: Search, store: Store, start: Start, clock: Callable[[], float]) -> None:
        self.search, self.store, self.start, self.clock = search, store, start, clock
        self.running: list[_Running] = []

    def run(
        self,
        at_once: int,
        deadline: float,
        on_progress: ProgressCallback,
        sleep: Callable[[float], None],
    ) -> None:
        """Start trials, listen and report to Optuna until all have ended or the time is up."""
        on_progress(self._news())
        while True:
            self._fill(at_once if self.clock() < deadline else 0)
            if not self.running:
                return
            n_before = self.search.n_told
            for trial in list(self.running):
                self._look_at(trial)
            if self.search.n_told > n_before:
                on_progress(self._news())
            elif self.running:
                sleep(POLL_SECONDS)

    def halt(self) -> None:
        """Tell the trials that still run that the study ends before them; none does where it came to its end."""
        for trial in self.running:
            with contextlib.suppress(StoreError):  # what ended the study is what its caller has to hear
                signals.halt(self.store, trial.order)

    def _fill(self, at_once: int) -> None:
        n_trials = self.search.plan.spec.n_trials
        while len(self.running) < at_once and self.search.n_told + len(self.running) < n_trials:
            try:
                order = self.search.ask()
            except ConfigError:
                continue  # recorded as failed with its reason; the next draw is another one
            signals.forget_earlier(self.store, order)
            self.running.append(_Running(order, self.start(order), Pace(self.store, self.clock)))

    def _look_at(self, trial: _Running) -> None:
        number = trial.order.number
        try:
            outcome = trial.ask()
        except StudyEnded:
            raise  # not told, so that it is continued as one that was killed
        except Exception as error:
            is_base = self.search.is_base(number)
            self.search.fail(number, f"{type(error).__name__}: {error}")
            self._end(trial)
            if is_base:
                raise TrainingError(
                    f"the trial of the recipe itself failed, so there is nothing to compare others with: {error}"
                ) from error
            return
        if outcome is None:
            if trial.pace.is_due:
                epochs = self._read(trial)
                self._hear(trial, epochs, judges=trial.order.is_judged)
                trial.pace.looked(has_news=bool(epochs))
        elif outcome.trial is None:
            self._hear(trial, self._read(trial), judges=False)
            self.search.prune(number, outcome.in_words())
            self._end(trial)
        else:
            self._hear(trial, _history(self.store, outcome.trial), judges=False)
            self.search.complete(number, outcome.trial.score, outcome.trial.id)
            self._end(trial)

    def _read(self, trial: _Running) -> dict[int, float]:
        return signals.read_epochs(self.store, trial.order, trial.heard)

    def _hear(self, trial: _Running, epochs: dict[int, float], *, judges: bool) -> None:
        """Report epochs that are new, in order, and answer each while the trial runs."""
        for epoch, score in epochs.items():
            if epoch in trial.heard:
                continue
            trial.heard.add(epoch)
            should_stop = self.search.report(trial.order.number, epoch, score)
            if judges and epoch < trial.order.n_epochs:
                trial.is_given_up = trial.is_given_up or should_stop
                signals.answer(self.store, trial.order, epoch, stop=trial.is_given_up)

    def _end(self, trial: _Running) -> None:
        self.running.remove(trial)
        signals.forget(self.store, trial.order)

    def _news(self) -> Progress:
        record = self.search.record()
        return Progress(
            stage="search",
            done=self.search.n_told,
            total=self.search.plan.spec.n_trials,
            message=record.in_words(),
            metrics={} if record.best is None else {"best": record.best.score or 0.0},
        )


def _history(store: Store, trial: TrialRef) -> dict[int, float]:
    """Return the selection score of every epoch of a stored trial, by epoch from 1."""
    rows = csv.DictReader(io.StringIO(read_file(store, trial, "history.csv").decode()))
    return {int(row["epoch"]): float(row["selection_score"]) for row in rows}
