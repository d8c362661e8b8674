"""What happens beside the steps: when a checkpoint is due, and news."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lesion_core.progress import Progress, ProgressCallback
from lesion_core.training.loop.state import FitState

TRAINING, HEAD, FEATURES = "training", "head training", "frozen features"
_NEWS_SECONDS = 2.0  # a log and a progress bar want no more
_LARGEST_CHECKPOINT_SHARE = 0.02  # of the time spent in checkpoints that the clock asks for, however slow the disk is


@dataclass(slots=True)
class CheckpointTimer:
    """Says when the next checkpoint is due: every ``interval_steps``, and after ``interval_seconds``.

    By the clock, checkpoints are made less often where writing one takes long; a number of steps is kept to.
    """

    interval_seconds: float
    interval_steps: int | None = None
    clock: Callable[[], float] = time.monotonic
    last: float = field(init=False)
    last_step: int = field(init=False, default=0)
    cost_seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.last = self.clock()

    def is_due(self, n_steps: int) -> bool:
        """Return whether enough steps have been made, or enough time has passed, since the last checkpoint."""
        if self.interval_steps is not None and n_steps - self.last_step >= self.interval_steps:
            return True
        return self.clock() - self.last >= max(self.interval_seconds, self.cost_seconds / _LARGEST_CHECKPOINT_SHARE)

    def time_of(self, write: Callable[[], object], n_steps: int) -> None:
        """Carry out ``write``, remember what it cost, and start the interval again."""
        started = self.clock()
        write()
        self.last, self.last_step = self.clock(), n_steps
        self.cost_seconds = self.last - started


@dataclass(slots=True)
class Reporter:
    """Tells how far the training is, at most every two seconds unless forced."""

    on_progress: ProgressCallback
    n_steps: int
    n_epochs: int
    batch_size: int
    clock: Callable[[], float] = time.monotonic
    stage: str = TRAINING
    end_step: int | None = None  # of the stage; by default the training's last
    _said: float = field(init=False, default=float("-inf"))

    def tell(self, state: FitState, *, force: bool = False) -> None:
        """Report the state's step, loss, score, rate and remaining time."""
        epoch = min(state.epoch + bool(state.batch), self.n_epochs)
        self.say(state, f"epoch {epoch}/{self.n_epochs}", force=force)

    def enter(self, stage: str, end_step: int | None = None) -> None:
        """Name what follows: steps of another kind are a stage of their own, because they take another time."""
        self.stage, self.end_step = stage, end_step

    def features(self, split: str, done: int, total: int) -> None:
        """Report images of a split that went through the frozen backbone; the last one in any case."""
        if done < total and not self.is_due():
            return
        self._said = self.clock()
        self.on_progress(Progress(stage=f"{FEATURES}, {split}", done=done, total=total, message="images"))

    def is_due(self) -> bool:
        """Return whether it is time for news."""
        return self.clock() - self._said >= _NEWS_SECONDS

    def say(self, state: FitState, message: str, *, force: bool = False) -> None:
        """Report ``message`` with the state's numbers, unless something was said a moment ago."""
        if not force and not self.is_due():
            return
        self._said = self.clock()
        self.on_progress(
            Progress(
                stage=self.stage,
                done=state.n_steps,
                total=self.end_step or self.n_steps,
                message=message,
                metrics=self._metrics(state),
            )
        )

    def _metrics(self, state: FitState) -> dict[str, float]:
        last = state.history[-1] if state.history else {}
        metrics: dict[str, float] = {}
        if state.batch:
            metrics["loss"] = state.loss_sum / state.batch
        elif last:
            metrics["loss"] = float(last["loss"])
        if last:
            metrics["epoch"] = float(last["epoch"])  # the last one that is finished, over all stages
        if last and not np.isnan(float(last["val_balanced_accuracy"])):
            metrics["val_balanced_accuracy"] = float(last["val_balanced_accuracy"])
            metrics["selection_score"] = float(last["selection_score"])
        if state.batch and state.seconds > 0:
            per_second = state.batch / state.seconds
            metrics["steps_per_second"] = per_second
            metrics["images_per_second"] = per_second * self.batch_size
            metrics["waiting_share"] = state.waiting_seconds / state.seconds
            metrics["eta_seconds"] = (self.n_steps - state.n_steps) / per_second
        return metrics
