"""What happens beside the steps: the state that is backed up, the best epoch, news, time."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import keras
import numpy as np

from lesion_core.training.backups import Backup
from lesion_core.types import Progress, ProgressCallback

HistoryRow = dict[str, float | int | str]

_NEWS_SECONDS = 2.0  # a log and a progress bar want no more
_SMOOTHED_EPOCHS = 3
_LARGEST_BACKUP_SHARE = 0.02  # of the time spent in backups, however slow the disk is


@dataclass(slots=True)
class FitState:
    """Where a training stands; all of it goes into a backup."""

    epoch: int = 0  # epochs finished, over all stages
    batch: int = 0  # steps finished in the current epoch
    n_steps: int = 0
    loss_sum: float = 0.0  # over the current epoch's steps
    seconds: float = 0.0  # spent in the current epoch's steps
    best_score: float | None = None
    best_epoch: int = 0  # from 1
    wait: int = 0  # epochs since the best one
    stopped: bool = False
    history: list[HistoryRow] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)


def pack(state: FitState, model: keras.Model, optimizer: keras.optimizers.Optimizer, stage: str) -> Backup:
    """Return everything that the next step depends on, random states of the dropout layers included."""
    facts = asdict(state)
    facts.pop("best_weights")
    arrays = {f"best/{i}": value for i, value in enumerate(state.best_weights)}
    arrays |= {f"model/{i}": value for i, value in enumerate(_values(model.variables))}
    arrays |= {f"optimizer/{i}": value for i, value in enumerate(_values(optimizer.variables))}
    return Backup(facts={"state": facts, "stage": stage}, arrays=arrays)


def unpack_state(backup: Backup) -> FitState:
    """Return the state that ``pack`` put in."""
    state = FitState(**backup.facts["state"])
    state.best_weights = _numbered(backup, "best")
    return state


def restore_model(backup: Backup, model: keras.Model) -> None:
    """Put back the model's variables, those of its random generators included."""
    _assign(model.variables, _numbered(backup, "model"))


def restore_optimizer(backup: Backup, optimizer: keras.optimizers.Optimizer, stage: str) -> None:
    """Put back the optimizer's variables if the backup was made in ``stage``; a new stage starts afresh."""
    if backup.facts["stage"] == stage:
        _assign(optimizer.variables, _numbered(backup, "optimizer"))


def _values(variables: list[keras.Variable]) -> list[np.ndarray]:
    """Return copies: what a variable gives out may change with the next step."""
    return [np.asarray(variable).copy() for variable in variables]


def _numbered(backup: Backup, prefix: str) -> list[np.ndarray]:
    n = sum(name.startswith(f"{prefix}/") for name in backup.arrays)
    return [backup.arrays[f"{prefix}/{i}"] for i in range(n)]


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def smooth_score(state: FitState, stage: str, score: float) -> float:
    """Return the mean of ``score`` and of the balanced accuracies of up to two epochs before it in this stage.

    The epoch is chosen by this. With a handful of validation images in the rare classes a single epoch's
    balanced accuracy moves by a tenth and more for no reason, and the luckiest epoch is often an early one.
    """
    before = [float(row["val_balanced_accuracy"]) for row in state.history if row["stage"] == stage]
    return float(np.mean([*before[-(_SMOOTHED_EPOCHS - 1) :], score]))


def note_score(state: FitState, model: keras.Model, score: float, *, patience: int) -> None:
    """Keep the weights of the epoch just ended if it is the best so far, and decide about stopping.

    A score that is NaN (there was nothing to validate on) counts as better: the last epoch is kept then.
    """
    if state.best_score is None or np.isnan(score) or score > state.best_score:
        state.best_score, state.best_epoch, state.wait = score, state.epoch + 1, 0
        state.best_weights = _values(model.weights)
    else:
        state.wait += 1
        state.stopped = state.wait >= patience


@dataclass(slots=True)
class BackupTimer:
    """Says when the next backup is due: after ``interval_seconds``, more where writing one takes long."""

    interval_seconds: float
    clock: Callable[[], float] = time.monotonic
    last: float = field(init=False)
    cost_seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.last = self.clock()

    def is_due(self) -> bool:
        """Return whether enough time has passed since the last backup."""
        return self.clock() - self.last >= max(self.interval_seconds, self.cost_seconds / _LARGEST_BACKUP_SHARE)

    def time_of(self, write: Callable[[], object]) -> None:
        """Carry out ``write``, remember what it cost, and start the interval again."""
        started = self.clock()
        write()
        self.last = self.clock()
        self.cost_seconds = self.last - started


@dataclass(slots=True)
class Reporter:
    """Tells how far the training is, at most every two seconds unless forced."""

    on_progress: ProgressCallback
    n_steps: int
    n_epochs: int
    batch_size: int
    clock: Callable[[], float] = time.monotonic
    _said: float = field(init=False, default=float("-inf"))

    def tell(self, state: FitState, *, force: bool = False) -> None:
        """Report the state's step, loss, score, rate and remaining time."""
        epoch = min(state.epoch + bool(state.batch), self.n_epochs)
        self.say(state, f"epoch {epoch}/{self.n_epochs}", force=force)

    def say(self, state: FitState, message: str, *, force: bool = False) -> None:
        """Report ``message`` with the state's numbers, unless something was said a moment ago."""
        if not force and self.clock() - self._said < _NEWS_SECONDS:
            return
        self._said = self.clock()
        self.on_progress(
            Progress(
                stage="training",
                done=state.n_steps,
                total=self.n_steps,
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
            metrics["images_per_second"] = per_second * self.batch_size
            metrics["eta_seconds"] = (self.n_steps - state.n_steps) / per_second
        return metrics
