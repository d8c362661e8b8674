"""Studies whose trials train nothing: they report made-up scores through the very signals of real ones."""

import math
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from lesion_core.errors import TrialStopped
from lesion_core.progress import Progress, ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, TrialRef
from lesion_core.search import course
from lesion_core.search.signals import Reporter
from lesion_core.search.study import StudyPlan, StudySpec, check_pruner, check_space
from lesion_core.search.study_record import StudyRecord
from lesion_core.search.trial_spec import TrialOrder, TrialOutcome, trial_inputs, trial_key_of
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import publish
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, ref_from_folder

SPACE = {
    "optimisation.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "imbalance.sampling_power": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25},
    "optimisation.ema_decay": {"type": "choice", "choices": [None, 0.9, 0.99]},
}

Curve = Callable[[Recipe], list[float]]


def rising(recipe: Recipe) -> list[float]:
    """Scores that rise with the epochs, to a height that a learning rate of 3e-3 makes highest."""
    rate, power = recipe.optimisation.learning_rate, recipe.imbalance.sampling_power
    height = 0.8 - 0.2 * abs(math.log10(rate / 3e-3)) - 0.05 * power
    return [height * (1 - 0.5**epoch) for epoch in range(1, recipe.optimisation.epochs + 1)]


def make_plan(recipe: Recipe, dataset: DatasetRef, **spec: object) -> StudyPlan:
    """A plan over ``SPACE``, checked without a look at the dataset."""
    spaced = Recipe.model_validate({**recipe.model_dump(), "search": SPACE})
    plan = StudyPlan(recipe=spaced, dataset=dataset, spec=StudySpec.model_validate(spec))
    check_space(spaced)
    check_pruner(plan)
    return plan


class Trainer:
    """Stands in for the tasks: runs each order in a thread, without a child.

    Args:
        store: Where the trials go.
        curve: Scores by epoch.
        pause: Seconds before each epoch.
    """

    def __init__(self, store: Store, curve: Curve = rising, *, pause: float = 0.0) -> None:
        self.store, self.curve, self.pause = store, curve, pause
        self.threads = ThreadPoolExecutor(4)
        self.orders: list[TrialOrder] = []
        self.futures: list[Future[TrialOutcome]] = []
        self.n_epochs = 0
        self.largest = 0
        self._under_way = 0
        self._lock = threading.Lock()

    def start(self, order: TrialOrder) -> course.Ask:
        self.orders.append(order)
        future = self.threads.submit(self._run, order)
        self.futures.append(future)
        return lambda: future.result() if future.done() else None

    def _run(self, order: TrialOrder) -> TrialOutcome:
        with self._lock:
            self._under_way += 1
            self.largest = max(self.largest, self._under_way)
        try:
            return self._train(order)
        finally:
            with self._lock:
                self._under_way -= 1

    def _train(self, order: TrialOrder) -> TrialOutcome:
        key = trial_key_of(order.job)
        if (made := find_reference(self.store, TrialRef, key)) is not None:
            return TrialOutcome(trial=made)
        reporter = Reporter(order, self.store, ignore_progress, sleep=lambda seconds: time.sleep(0.002))
        scores = self.curve(order.job.recipe)
        for epoch, score in enumerate(scores, start=1):
            time.sleep(self.pause)
            self.n_epochs += 1
            try:
                reporter(Progress(stage="training", done=epoch, metrics={"epoch": epoch, "selection_score": score}))
            except TrialStopped:
                return TrialOutcome(stopped_after=epoch)
        return TrialOutcome(trial=keep(self.store, order, scores))


def keep(store: Store, order: TrialOrder, scores: list[float]) -> TrialRef:
    """Store a trial as its child would."""
    folder = Path(tempfile.mkdtemp())
    history = pd.DataFrame({"epoch": range(1, len(scores) + 1), "selection_score": scores})
    history.to_csv(folder / "history.csv", index=False)
    key, job = trial_key_of(order.job), order.job
    summary = {
        "dataset": job.dataset.model_dump(mode="json"), "fold": job.fold, "score": max(scores),
        "best_epoch": len(scores), "synthetic": True,
    }  # fmt: skip
    index, sha256 = publish(
        store, key, folder, step="trial", step_version=1, inputs=trial_inputs(job), summary=summary
    )
    shutil.rmtree(folder)
    return ref_from_folder(TrialRef, key, index, sha256)


def run(plan: StudyPlan, trainer: Trainer, settings: LesionSettings) -> StudyRecord:
    """Conduct a study without waiting long."""
    return course.conduct(
        plan, store=trainer.store, settings=settings, start=trainer.start, sleep=lambda seconds: time.sleep(0.002)
    )
