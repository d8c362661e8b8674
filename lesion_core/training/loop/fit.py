"""Staged training: the head first, on a frozen backbone, then the layers above; resumable at any step."""

import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import TrainingDiverged
from lesion_core.modeling.feed.input import Batch
from lesion_core.progress import ProgressCallback, ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.statistics.metrics import balanced_accuracy
from lesion_core.training.devices import losses_kept_back, memory_refused
from lesion_core.training.distillation import Teaching
from lesion_core.training.loop.callbacks import HEAD, TRAINING, CheckpointTimer, Reporter
from lesion_core.training.loop.checkpoints import Checkpoint, is_finite, read_checkpoint, write_checkpoint
from lesion_core.training.loop.logs import Logs
from lesion_core.training.loop.stages import StageInputs, StageSetup
from lesion_core.training.loop.state import (
    FitState,
    HistoryRow,
    note_score,
    pack,
    restore_model,
    restore_optimizer,
    smooth_score,
    unpack_state,
)
from lesion_core.training.plan import Plan, Stage, absent_classes, make_plan

LOGS_FOLDER = "logs"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a training went; the model itself carries the best epoch's weights."""

    history: list[HistoryRow]
    n_steps: int
    best_epoch: int
    best_score: float  # its selection score, see ``smooth_score``; NaN without validation images
    is_stopped_early: bool
    logs: Path  # folder of steps.csv and TensorBoard's files
    seconds: float  # of the whole fitting, over all resumptions; what a kill undid is not counted


def fit(
    model: keras.Model,
    recipe: Recipe,
    dataset: OpenDataset,
    *,
    checkpoints: Path,
    on_progress: ProgressCallback = ignore_progress,
    teaching: Teaching | None = None,
    is_tuning: bool = False,
) -> FitResult:
    """Train ``model`` in place and leave it with the weights of the best validation epoch.

    Where the recipe averages the weights, the averages are validated, chosen from and left.

    Args:
        model: As ``build_network`` returns it, made in the scope of the strategy that is in scope now.
        recipe: Everything that decides how.
        dataset: Its 'train' split is learned from, its 'validation' split chooses the epoch.
        checkpoints: Folder for resumable checkpoints and logs; a training found there is continued at its next step.
        on_progress: Hears of steps, loss, validation score, speed and time left.
        teaching: What a teacher says of the training images, to be learnt besides their labels.
        is_tuning: Whether ``model`` has the weights of another model, and so something to keep frozen at first.

    Raises:
        ConfigError: As for ``make_plan``; or a taught recipe mixes images.
        TrainingDiverged: The loss, or a logit on validation, became NaN or infinite.
        TrainingError: Out of memory, or a checkpoint or a log that cannot be written.
    """
    with memory_refused(
        f"recipe {recipe.name!r} needs more memory than there is for batches of {recipe.optimisation.batch_size} "
        f"images of {recipe.size_px} px; lower optimisation.batch_size or size_px"
    ):
        train, validation = dataset.split("train"), dataset.split("validation")
        inputs = StageInputs(model, recipe, dataset, train, validation, teaching, is_tuning)
        return _Fit(inputs, checkpoints, on_progress).run()


class _Fit:
    """One training: what stays the same from step to step, and the state that does not."""

    def __init__(self, inputs: StageInputs, checkpoints: Path, on_progress: ProgressCallback) -> None:
        recipe = inputs.recipe
        self.inputs, self.recipe, self.checkpoints = inputs, recipe, checkpoints
        self.plan: Plan = make_plan(recipe, inputs.train, is_tuning=inputs.is_tuning)
        optimisation = recipe.optimisation
        self.timer = CheckpointTimer(optimisation.checkpoint_seconds, optimisation.checkpoint_steps)
        self.reporter = Reporter(on_progress, self.plan.n_steps, self.plan.n_epochs, optimisation.batch_size)
        self.state = FitState()
        self.restored: Checkpoint | None = read_checkpoint(checkpoints)
        self.n_kept_back = losses_kept_back()
        self.pending: deque[tuple[int, float, tf.Tensor]] = deque()  # batch, rate and loss of steps not yet read

    def run(self) -> FitResult:
        """Carry out what is left of the plan."""
        position, self.started, self.spent_before = None, time.monotonic(), 0.0
        if self.restored is not None:
            self.state = unpack_state(self.restored)
            self.spent_before = self.state.spent_seconds
            restore_model(self.restored, self.inputs.model)
            position = self.restored.facts["logs"]
            self.timer.last_step = self.state.n_steps
            log.info("resuming at step %d of %d", self.state.n_steps, self.plan.n_steps)
        if absent := absent_classes(self.inputs.train):
            log.warning("no training image of %s: the model will never name them", ", ".join(absent))
        self.logs = Logs(self.checkpoints / LOGS_FOLDER, self.plan.n_steps, position)
        with contextlib.closing(self.logs):
            for stage in self.plan.stages:
                if self.state.epoch < stage.end and not self.state.stopped:
                    self._run_stage(stage)
        state = self.state
        self.inputs.model.set_weights(state.best_weights)
        score = math.nan if state.best_score is None else state.best_score
        logs = self.checkpoints / LOGS_FOLDER
        return FitResult(
            state.history, state.n_steps, state.best_epoch, score, state.stopped, logs, self._spent_seconds()
        )

    def _spent_seconds(self) -> float:
        """Return the time of this fitting, and of what is left of those that it continues."""
        return self.spent_before + time.monotonic() - self.started

    def _announce(self) -> None:
        self.reporter.tell(self.state, force=True)
        if absent := absent_classes(self.inputs.train):
            self.reporter.say(self.state, f"no training image of {', '.join(absent)}", force=True)

    def _run_stage(self, stage: Stage) -> None:
        setup = self.inputs.set_up(stage.name, self.reporter.features)
        self.reporter.enter(TRAINING if stage is self.plan.stages[-1] else HEAD, self._end_step(stage))
        self._announce()
        if self.restored is not None:
            restore_optimizer(self.restored, setup.trainer.optimizer, stage.name)
            self.restored = None
        while self.state.epoch < stage.end and not self.state.stopped:
            self._run_epoch(stage, setup)

    def _end_step(self, stage: Stage) -> int:
        return stage.end * self.plan.steps_per_epoch

    def _run_epoch(self, stage: Stage, setup: StageSetup) -> None:
        state = self.state
        started = time.monotonic() - state.seconds
        for inputs, targets in self._awaited(setup.batches(state.epoch, state.batch)):
            rate = self.plan.learning_rate(stage, state.epoch, state.batch)
            self.pending.append((state.n_steps + 1, rate, setup.trainer.step(inputs, targets, rate)))
            state.batch += 1
            state.n_steps += 1
            state.seconds = time.monotonic() - started
            self._read_losses(stage, keep=self.n_kept_back)
            if self.reporter.is_due():
                self._read_losses(stage)
                self.reporter.tell(state)
            if self.timer.is_due(state.n_steps):
                self._checkpoint(stage, setup)
        self._read_losses(stage)
        self._end_epoch(stage, setup)

    def _awaited(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, and note how long each was waited for."""
        iterator = iter(batches)
        while True:
            asked = time.monotonic()
            batch = next(iterator, None)
            if batch is None:
                return
            self.state.waiting_seconds += time.monotonic() - asked
            yield batch

    def _read_losses(self, stage: Stage, *, keep: int = 0) -> None:
        """Take the losses of all but the last ``keep`` steps from the device, and log them."""
        state = self.state
        while len(self.pending) > keep:
            step, rate, value = self.pending.popleft()
            loss = float(value)
            if not math.isfinite(loss):
                raise self._diverged("a finite loss", loss)
            state.loss_sum += loss
            self.logs.step(step, epoch=state.epoch + 1, stage=stage.name, learning_rate=rate, loss=loss)

    def _end_epoch(self, stage: Stage, setup: StageSetup) -> None:
        state = self.state
        is_last = stage is self.plan.stages[-1]
        with setup.trainer.averaged():
            score = self._score(setup)
            selection = smooth_score(state, stage.name, score)
            row = self._history_row(stage, score, selection)
            if is_last:  # a warm-up is neither kept nor a reason to stop
                note_score(state, self.inputs.model, selection, patience=self.recipe.optimisation.patience)
        state.history.append(row)
        self.logs.epoch(state.n_steps, row)
        state.epoch, state.batch, state.loss_sum = state.epoch + 1, 0, 0.0
        state.seconds, state.waiting_seconds = 0.0, 0.0
        if is_last or state.epoch == stage.end or self.timer.is_due(state.n_steps):
            self._checkpoint(stage, setup)  # an epoch of the warm-up takes less time than its checkpoint would
        self.reporter.tell(state, force=True)

    def _history_row(self, stage: Stage, score: float, selection: float) -> HistoryRow:
        state, seconds = self.state, max(self.state.seconds, 1e-9)
        return {
            "epoch": state.epoch + 1,
            "stage": stage.name,
            "step": state.n_steps,
            "learning_rate": self.plan.learning_rate(stage, state.epoch, max(state.batch - 1, 0)),
            "loss": state.loss_sum / max(state.batch, 1),
            "val_balanced_accuracy": score,
            "selection_score": selection,
            "seconds": state.seconds,
            "images_per_second": state.batch * self.recipe.optimisation.batch_size / seconds,
            "waiting_share": state.waiting_seconds / seconds,
        }

    def _score(self, setup: StageSetup) -> float:
        """Return the balanced accuracy on validation, NaN where there is nothing to validate on."""
        rows = self.inputs.validation
        if rows.empty:
            return math.nan
        epoch = f"epoch {self.state.epoch + 1}/{self.plan.n_epochs}"
        logits = setup.validate(lambda done: self.reporter.say(self.state, f"{epoch}, validation {done}/{len(rows)}"))
        if not np.isfinite(logits).all():
            raise self._diverged("finite logits on validation", float(logits[~np.isfinite(logits)][0]))
        return float(balanced_accuracy(rows["class_index"].to_numpy(), logits.argmax(axis=1)))

    def _checkpoint(self, stage: Stage, setup: StageSetup) -> None:
        self._read_losses(stage)
        self.state.spent_seconds = self._spent_seconds()
        model, optimizer = self.inputs.model, setup.trainer.optimizer

        def write() -> None:
            checkpoint = pack(self.state, model, optimizer, stage.name, self.logs.position())
            if not is_finite(checkpoint):  # the step after would find out, with this written over a good one
                raise self._diverged("finite weights", math.nan)
            write_checkpoint(self.checkpoints, checkpoint)

        self.timer.time_of(write, self.state.n_steps)

    def _diverged(self, expected: str, value: float) -> TrainingDiverged:
        epoch = self.state.epoch + 1
        return TrainingDiverged(
            f"expected {expected}, got {value} in epoch {epoch} of recipe {self.recipe.name!r}; lower "
            "optimisation.learning_rate or set optimisation.gradient_clip",
            epoch=epoch,
            loss=repr(value),
        )
