"""Trials: kept, judged, stopped, and taken up again after kill -9 of their study, in real children.

Where the child is not what is tested, the trial runs in this process, which has loaded TensorFlow already.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from deployments.stack.waiting import wait_for
from lesion_core.errors import ConfigError, StudyEnded
from lesion_core.progress import Progress, ProgressCallback
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, TrialRef
from lesion_core.search import signals, trial, trial_process
from lesion_core.search.course import Ask, conduct
from lesion_core.search.proposals import opened_search
from lesion_core.search.study import StudyPlan
from lesion_core.search.trial_process import run_trial
from lesion_core.search.trial_scratch import scratch_of
from lesion_core.search.trial_spec import TrialJob, TrialOrder, TrialOutcome, trial_key_of
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import get_index, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import find_reference
from tests.conftest import ROOT
from tests.core.search.studies import make_plan

_PATIENCE_SECONDS = 250.0  # a busy machine takes a minute to load TensorFlow


@pytest.fixture
def settings(store: LocalStore, tmp_path: Path) -> LesionSettings:
    return LesionSettings(store=str(store.root), work=tmp_path / "work")


@pytest.fixture
def in_this_process(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trials run without a child: by the same code, on the same job, with the same news."""

    def run(
        kind: str, job: TrialJob, result: type[TrialRef], *, key: str, settings: LesionSettings,
        on_progress: ProgressCallback,
    ) -> TrialRef:  # fmt: skip
        assert (kind, key) == ("trial", trial_key_of(job))
        if (made := find_reference(store, result, key)) is not None:
            return made
        return trial.run(
            json.loads(job.model_dump_json()), store=store, workdir=settings.work, on_progress=on_progress
        )

    monkeypatch.setattr(trial_process.jobs, "run", run)


def order_of(job: TrialJob, name: str, n_epochs: int) -> TrialOrder:
    return TrialOrder(study=name, number=0, channel=0, job=job, n_epochs=n_epochs, is_judged=True)


@pytest.mark.usefixtures("in_this_process")
def test_a_trial_is_judged_after_each_epoch_and_keeps_its_score_but_no_model(
    store: LocalStore, settings: LesionSettings, dataset_ref: DatasetRef, make_recipe: Callable[..., Recipe]
) -> None:
    job = TrialJob(recipe=make_recipe(name="judged", optimisation={"epochs": 3}), dataset=dataset_ref, fold=1)
    order = order_of(job, "judged", 3)
    for epoch in (1, 2):
        signals.answer(store, order, epoch, stop=False)
    news: list[Progress] = []
    outcome = run_trial(order, store=store, settings=settings, on_progress=news.append)
    assert outcome.trial is not None
    assert (outcome.trial.fold, outcome.trial.dataset) == (1, dataset_ref)
    _, index = get_index(store, outcome.trial)
    assert set(index.files) == {"history.csv", "recipe.json"}
    epochs = signals.read_epochs(store, order)
    assert list(epochs) == [1, 2, 3]
    assert outcome.trial.score == pytest.approx(max(epochs.values()))
    assert len(read_file(store, outcome.trial, "history.csv").decode().splitlines()) == 4
    assert not scratch_of(trial_key_of(job), settings.work).exists()
    assert news
    news.clear()
    assert run_trial(order, store=store, settings=settings, on_progress=news.append) == outcome
    assert not news  # found in the store
    other = job.model_copy(update={"fold": 2})
    assert trial_key_of(other) != trial_key_of(job)


@pytest.mark.usefixtures("in_this_process")  # that the child ends: a cancelled study's, below, by the same way
def test_a_trial_that_is_given_up_ends_with_its_checkpoints(
    store: LocalStore, settings: LesionSettings, dataset_ref: DatasetRef, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_recipe(name="given-up", optimisation={"epochs": 400, "checkpoint_seconds": 0.1})
    order = order_of(TrialJob(recipe=recipe, dataset=dataset_ref), "given-up", 400)
    signals.answer(store, order, 1, stop=False)
    signals.answer(store, order, 2, stop=True)
    outcome = run_trial(order, store=store, settings=settings)
    assert outcome == TrialOutcome(stopped_after=2)
    assert list(signals.read_epochs(store, order)) == [1, 2]
    assert not scratch_of(trial_key_of(order.job), settings.work).exists()


def test_a_silent_study_does_not_hold_a_trial_for_ever(store: LocalStore, dataset_ref: DatasetRef) -> None:
    recipe = Recipe.model_validate({"name": "silent", "weights": "none"})
    order = order_of(TrialJob(recipe=recipe, dataset=dataset_ref), "silent", 9)
    seconds = iter(range(0, 1000, 50))
    slept: list[float] = []
    reporter = signals.Reporter(
        order, store, lambda news: None, clock=lambda: float(next(seconds)), sleep=slept.append
    )
    reporter(Progress(stage="training", done=1, metrics={"epoch": 1, "selection_score": 0.5}))
    assert signals.read_epochs(store, order) == {1: 0.5}
    assert len(slept) == 2


def test_an_epoch_is_written_down_once(store: LocalStore, dataset_ref: DatasetRef) -> None:
    recipe = Recipe.model_validate({"name": "once", "weights": "none"})
    order = order_of(TrialJob(recipe=recipe, dataset=dataset_ref), "once", 1)
    for score in (0.5, 0.6):  # a trial that was taken up again says its last epoch once more
        signals.Reporter(order, store, lambda news: None)(
            Progress(stage="training", done=1, metrics={"epoch": 1, "selection_score": score})
        )
    assert signals.read_epochs(store, order) == {1: 0.5}
    signals.forget(store, order)
    assert signals.read_epochs(store, order) == {}


@pytest.mark.parametrize("is_judged", [True, False])
def test_a_trial_hears_that_its_study_ended_until_it_is_all_but_done(
    is_judged: bool, store: LocalStore, dataset_ref: DatasetRef
) -> None:
    recipe = Recipe.model_validate({"name": "halted", "weights": "none"})
    order = order_of(TrialJob(recipe=recipe, dataset=dataset_ref), f"halted-{is_judged}", 3)
    order = order.model_copy(update={"is_judged": is_judged})

    def report(epoch: int) -> None:
        metrics = {"epoch": epoch, "selection_score": 0.5} if epoch else {}
        reporter(Progress(stage="training", done=epoch, metrics=metrics))

    def wait(seconds: float) -> None:
        signals.halt(store, order)

    reporter = signals.Reporter(order, store, lambda news: None, sleep=wait)
    report(0)
    if is_judged:  # the word comes while the trial waits for another
        with pytest.raises(StudyEnded, match="run it again"):
            report(1)
    else:
        report(1)
        signals.halt(store, order)
    for epoch in (0, 2):
        with pytest.raises(StudyEnded):
            report(epoch)
    report(3)
    assert list(signals.read_epochs(store, order)) == [1, 2, 3]
    signals.forget_earlier(store, order.model_copy(update={"number": 9}))  # one that continues it
    assert list(signals.read_epochs(store, order)) == [1, 2, 3]
    report(0)
    signals.forget_earlier(store, order)
    assert not signals.read_epochs(store, order)


def test_a_trial_of_a_study_that_ended_is_not_begun_and_keeps_its_checkpoints(
    store: LocalStore, settings: LesionSettings, dataset_ref: DatasetRef, make_recipe: Callable[..., Recipe]
) -> None:
    order = order_of(TrialJob(recipe=make_recipe(name="queued"), dataset=dataset_ref), "queued", 2)
    checkpoint = scratch_of(trial_key_of(order.job), settings.work) / "checkpoint"
    checkpoint.mkdir(parents=True)
    signals.halt(store, order)
    with pytest.raises(StudyEnded):
        run_trial(order, store=store, settings=settings)
    assert checkpoint.exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_recipe_that_does_not_fit_fails_by_its_own_name(
    store: LocalStore, settings: LesionSettings, dataset_ref: DatasetRef, make_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_recipe(name="too-large", optimisation={"batch_size": 512})
    with pytest.raises(ConfigError, match="wants batches of 512"):
        run_trial(order_of(TrialJob(recipe=recipe, dataset=dataset_ref), "x", 2), store=store, settings=settings)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cancelled_study_ends_its_trial_and_goes_on_from_its_checkpoint(
    store: LocalStore, settings: LesionSettings, dataset_ref: DatasetRef, make_recipe: Callable[..., Recipe],
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    recipe = make_recipe(name="cancelled", optimisation={"epochs": 30, "checkpoint_seconds": 0.1})
    plan = make_plan(recipe, dataset_ref, n_trials=1, pruner="none")
    news: list[Progress] = []
    begun: list[tuple[TrialOrder, Future[TrialOutcome]]] = []
    threads = ThreadPoolExecutor(1)

    def start(order: TrialOrder) -> Ask:
        future = threads.submit(run_trial, order, store=store, settings=settings, on_progress=news.append)
        begun.append((order, future))
        return lambda: future.result() if future.done() else None

    def cancel(seconds: float) -> None:
        if epochs_of(store, plan, 0) >= 3:
            raise KeyboardInterrupt
        time.sleep(0.02)

    with threads:
        with pytest.raises(KeyboardInterrupt):
            conduct(plan, store=store, settings=settings, start=start, sleep=cancel)
        order, future = begun.pop()
        assert isinstance(future.exception(timeout=_PATIENCE_SECONDS), StudyEnded)
        assert not children_of(os.getpid())
        assert list((scratch_of(trial_key_of(order.job), settings.work) / "checkpoint").iterdir())
        news.clear()
        request.getfixturevalue("in_this_process")  # a child that goes on from a backup: kill -9, below
        record = conduct(plan, store=store, settings=settings, start=start)
    assert [trial.state for trial in record.trials] == ["lost", "complete"]
    assert next(each.done for each in news if each.stage == "training") > 0  # steps that were made before
    assert list(record.trials[1].epochs) == list(range(1, 31))
    assert not scratch_of(trial_key_of(order.job), settings.work).exists()
    assert not list(store.list(f"signals/{plan.name}/"))


# One study with real children, as a flow runs it, but without Prefect: what its end leaves is the same.
SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from lesion_core.search.course import conduct
from lesion_core.search.study import StudyPlan
from lesion_core.search.trial_process import run_trial

plan, settings = StudyPlan.model_validate_json(Path(sys.argv[1]).read_text()), LesionSettings()
store, threads = open_store(settings), ThreadPoolExecutor(2)

def start(order):
    future = threads.submit(run_trial, order, store=store, settings=settings)
    return lambda: future.result() if future.done() else None

conduct(plan, store=store, settings=settings, start=start)
"""


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_of_a_study_loses_no_finished_trial_and_takes_up_the_one_that_ran(
    store: LocalStore,
    settings: LesionSettings,
    dataset_ref: DatasetRef,
    make_recipe: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    recipe = make_recipe(name="killed", optimisation={"epochs": 30, "checkpoint_seconds": 0.1})
    plan = make_plan(recipe, dataset_ref, n_trials=2, pruner="none")
    with running_study(plan, settings, tmp_path) as study:
        wait_until(lambda: len(stored_trials(store)) == 1 and epochs_of(store, plan, 1) >= 3, study)
        children = children_of(study.pid)
        assert len(children) == 1
        study.send_signal(signal.SIGKILL)
        study.wait()
    wait_until(lambda: not any(Path(f"/proc/{child}/status").exists() for child in children))  # none outlives it
    first = stored_trials(store)
    assert len(first) == 1

    with running_study(plan, settings, tmp_path) as study:
        assert study.wait(timeout=_PATIENCE_SECONDS) == 0, (tmp_path / "study.log").read_text()[-3000:]
    with opened_search(plan, settings) as search:
        record = search.record()
    assert [trial.state for trial in record.trials] == ["complete", "lost", "complete"]
    assert record.trials[2].values == record.trials[1].values
    assert len(record.told) == 2
    assert set(first) < set(stored_trials(store))
    assert stored_trials(store)[record.trials[0].trial] == first[record.trials[0].trial]  # not made again
    assert list(record.trials[2].epochs) == list(range(1, 31))


@contextlib.contextmanager
def running_study(plan: StudyPlan, settings: LesionSettings, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    path, script = folder / "plan.json", folder / "study.py"
    path.write_text(plan.model_dump_json())
    script.write_text(SCRIPT)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "LESION_STORE": settings.store, "LESION_WORK": str(settings.work),
    }  # fmt: skip
    with (folder / "study.log").open("ab") as log:
        study = subprocess.Popen([sys.executable, str(script), str(path)], env=environment, stdout=log, stderr=log)
    try:
        yield study
    finally:
        study.kill()
        study.wait()


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[bytes] | None" = None) -> None:
    assert wait_for(
        is_so,
        seconds=_PATIENCE_SECONDS,
        is_hopeless=lambda: process is not None and process.poll() is not None,
        pause_seconds=0.02,
    )


def stored_trials(store: LocalStore) -> dict[str, str]:
    """When each trial of the killed study was published, by id."""
    keys = [key.removesuffix("/index.json") for key in store.list("trials/killed/") if key.endswith("index.json")]
    return {key.partition("/")[2]: get_index(store, key)[1].created for key in keys}


def epochs_of(store: LocalStore, plan: StudyPlan, number: int) -> int:
    return len([key for key in store.list(f"signals/{plan.name}/{number:05d}/") if "epoch-" in key])


def children_of(parent: int) -> list[int]:
    """Pids of the trials that are direct children of a process."""
    table = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in table.splitlines()[1:]]
    return [int(pid) for pid, ppid, args in rows if int(ppid) == parent and "lesion_core.jobs trial" in args]
