"""Staged training: the head first, on a frozen backbone, then every layer; resumable at any step."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import TrainingDiverged, TrainingError
from lesion_core.evaluation.metrics import balanced_accuracy
from lesion_core.modeling.input import Batch, TrainingFeed, evaluation_batches, seen_prior
from lesion_core.modeling.losses import AdjustedCrossEntropy, logit_offsets
from lesion_core.modeling.network import unfreeze_backbone
from lesion_core.modeling.recipe import Recipe
from lesion_core.training.backups import Backup, read_backup, write_backup
from lesion_core.training.callbacks import (
    BackupTimer,
    FitState,
    HistoryRow,
    Reporter,
    note_score,
    pack,
    restore_model,
    restore_optimizer,
    smooth_score,
    unpack_state,
)
from lesion_core.training.distillation import Teaching, check_teachable
from lesion_core.training.features import FeatureFeed, make_head, pool_features
from lesion_core.training.plan import Plan, Stage, make_plan
from lesion_core.training.step import Loss, Trainer, freeze_normalisation, make_logits, make_trainer
from lesion_core.types import ProgressCallback, ignore_progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a training went; the model itself carries the best epoch's weights."""

    history: list[HistoryRow]
    n_steps: int
    best_epoch: int
    best_score: float  # its selection score, see ``smooth_score``; NaN without validation images
    is_stopped_early: bool


def fit(
    model: keras.Model,
    recipe: Recipe,
    dataset: OpenDataset,
    *,
    backups: Path,
    on_progress: ProgressCallback = ignore_progress,
    teaching: Teaching | None = None,
) -> FitResult:
    """Train ``model`` in place and leave it with the weights of the best validation epoch.

    Args:
        model: As ``build_network`` returns it.
        recipe: Everything that decides how.
        dataset: Its 'train' split is learned from, its 'validation' split chooses the epoch.
        backups: Folder for resumable backups; a training found there is continued at its next step.
        on_progress: Hears of steps, loss, validation score, speed and time left.
        teaching: What a teacher says of the training images, to be learnt besides their labels.

    Raises:
        ConfigError: The batch is larger than the training split, or a taught recipe mixes images.
        TrainingDiverged: The loss became NaN or infinite.
        TrainingError: Out of memory, or a backup that cannot be written.
    """
    with _translate(recipe):
        return _Fit(model, recipe, dataset, backups, on_progress, teaching).run()


@dataclass(frozen=True, slots=True)
class _Bench:
    """What a stage works with: a training step, its batches, and logits on the validation split."""

    trainer: Trainer
    batches: Callable[[int, int], Iterable[Batch]]
    validate: Callable[[], np.ndarray]


class _Fit:
    """One training: what stays the same from step to step, and the state that does not."""

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        dataset: OpenDataset,
        backups: Path,
        on_progress: ProgressCallback,
        teaching: Teaching | None,
    ) -> None:
        self.model, self.recipe, self.dataset, self.backups = model, recipe, dataset, backups
        self.train, self.validation = dataset.split("train"), dataset.split("validation")
        self.plan: Plan = make_plan(recipe, len(self.train))
        prior = seen_prior(self.train["class_index"].to_numpy(), recipe.imbalance.sampling_power)
        offsets = logit_offsets(prior, recipe.imbalance.logit_adjustment)
        self.loss: Loss = AdjustedCrossEntropy(offsets, recipe.optimisation.label_smoothing)
        self.targets: dict[str, np.ndarray] = {}
        if teaching is not None:
            check_teachable(recipe)
            self.loss, self.targets = teaching.blend(self.loss), teaching.targets
        self.timer = BackupTimer(recipe.optimisation.backup_seconds)
        self.reporter = Reporter(on_progress, self.plan.n_steps, self.plan.n_epochs, recipe.optimisation.batch_size)
        self.state = FitState()
        self.restored: Backup | None = read_backup(backups)

    def run(self) -> FitResult:
        """Carry out what is left of the plan."""
        if self.restored is not None:
            self.state = unpack_state(self.restored)
            restore_model(self.restored, self.model)
            log.info("resuming at step %d of %d", self.state.n_steps, self.plan.n_steps)
        self.reporter.tell(self.state, force=True)
        for stage in self.plan.stages:
            if self.state.epoch < stage.end and not self.state.stopped:
                self._run_stage(stage)
        self.model.set_weights(self.state.best_weights)
        state = self.state
        score = math.nan if state.best_score is None else state.best_score
        return FitResult(state.history, state.n_steps, state.best_epoch, score, state.stopped)

    def _run_stage(self, stage: Stage) -> None:
        bench = self._head_bench() if stage.name == "head" else self._full_bench()
        if self.restored is not None:
            restore_optimizer(self.restored, bench.trainer.optimizer, stage.name)
            self.restored = None
        while self.state.epoch < stage.end and not self.state.stopped:
            self._run_epoch(stage, bench)

    def _full_bench(self) -> "_Bench":
        unfreeze_backbone(self.model)
        if self.recipe.optimisation.batch_norm == "frozen" and self.recipe.weights != "none":
            freeze_normalisation(self.model)
        logits = make_logits(self.model)
        size = self.recipe.optimisation.batch_size
        return _Bench(
            trainer=make_trainer(self.model, self.recipe, self.loss),
            batches=TrainingFeed(self.dataset, self.train, self.recipe, self.targets).batches,
            validate=lambda: logits(evaluation_batches(self.dataset, self.validation, size)),
        )

    def _head_bench(self) -> "_Bench":
        feed = replace(self._features(self.train), targets=self.targets)
        check = None if self.validation.empty else self._features(self.validation)
        head = make_head(self.model)
        logits = make_logits(head)
        return _Bench(
            trainer=make_trainer(head, self.recipe, self.loss),
            batches=feed.batches,
            validate=lambda: logits([] if check is None else [check.inputs(np.arange(len(check.rows)))]),
        )

    def _features(self, rows: pd.DataFrame) -> FeatureFeed:
        def tell(done: int) -> None:
            self.reporter.say(self.state, f"frozen features {done}/{len(rows)}", force=done == len(rows))

        pooled = pool_features(self.model, self.dataset, rows, self.recipe.optimisation.batch_size, tell)
        return FeatureFeed(pooled, rows, self.recipe)

    def _run_epoch(self, stage: Stage, bench: _Bench) -> None:
        state = self.state
        started = time.monotonic() - state.seconds
        for inputs, targets in bench.batches(state.epoch, state.batch):
            bench.trainer.optimizer.learning_rate = self.plan.learning_rate(stage, state.epoch, state.batch)
            loss = float(bench.trainer.step(inputs, targets))
            if not math.isfinite(loss):
                raise self._diverged(loss)
            state.batch += 1
            state.n_steps += 1
            state.loss_sum += loss
            state.seconds = time.monotonic() - started
            self.reporter.tell(state)
            if self.timer.is_due():
                self._back_up(stage, bench)
        self._end_epoch(stage, bench)

    def _end_epoch(self, stage: Stage, bench: _Bench) -> None:
        state, score = self.state, self._score(bench)
        selection = smooth_score(state, stage.name, score)
        row: HistoryRow = {
            "epoch": state.epoch + 1,
            "stage": stage.name,
            "step": state.n_steps,
            "learning_rate": float(bench.trainer.optimizer.learning_rate),
            "loss": state.loss_sum / max(state.batch, 1),
            "val_balanced_accuracy": score,
            "selection_score": selection,
            "seconds": state.seconds,
            "images_per_second": state.batch * self.recipe.optimisation.batch_size / max(state.seconds, 1e-9),
        }
        state.history.append(row)
        if stage is self.plan.stages[-1]:  # a warm-up is neither kept nor a reason to stop
            note_score(state, self.model, selection, patience=self.recipe.optimisation.patience)
        state.epoch, state.batch, state.loss_sum, state.seconds = state.epoch + 1, 0, 0.0, 0.0
        if stage is self.plan.stages[-1] or state.epoch == stage.end or self.timer.is_due():
            self._back_up(stage, bench)  # an epoch of the warm-up takes less time than its backup would
        self.reporter.tell(state, force=True)

    def _score(self, bench: "_Bench") -> float:
        """Return the balanced accuracy on validation, NaN where there is nothing to validate on."""
        if self.validation.empty:
            return math.nan
        return float(balanced_accuracy(self.validation["class_index"].to_numpy(), bench.validate().argmax(axis=1)))

    def _back_up(self, stage: Stage, bench: _Bench) -> None:
        self.timer.time_of(
            lambda: write_backup(self.backups, pack(self.state, self.model, bench.trainer.optimizer, stage.name))
        )

    def _diverged(self, loss: float) -> TrainingDiverged:
        epoch = self.state.epoch + 1
        return TrainingDiverged(
            f"expected a finite loss, got {loss} in epoch {epoch} of recipe {self.recipe.name!r}; lower "
            "optimisation.learning_rate or set optimisation.gradient_clip",
            epoch=epoch,
            loss=repr(loss),
        )


@contextlib.contextmanager
def _translate(recipe: Recipe) -> Iterator[None]:
    """Turn TensorFlow's errors into ours, in one place."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"recipe {recipe.name!r} needs more memory than there is for batches of {recipe.optimisation.batch_size} "
            f"images of {recipe.size_px} px; lower optimisation.batch_size or size_px"
        ) from error
