"""A search asks, hears, judges and is told; it loses nothing when it dies."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from lesion_core.errors import ConfigError, StoreUnavailable, StudyEnded, TrainingDiverged, TrainingError
from lesion_core.keys import signal_key
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef
from lesion_core.search.course import Ask, conduct
from lesion_core.search.proposals import opened_search
from lesion_core.search.trial_spec import TrialOrder
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from lesion_core.types import StoreKey
from tests.conftest import need
from tests.core.search.studies import SPACE, Trainer, keep, make_plan, rising, run
from tests.servers import postgres

__all__ = ["postgres"]


@pytest.fixture
def base(make_recipe: Callable[..., Recipe]) -> Recipe:
    """Eight epochs, a learning rate that is not the best one."""
    return make_recipe(optimisation={"epochs": 8, "learning_rate": 1e-3})


@pytest.fixture
def settings(tmp_path: Path) -> LesionSettings:
    return LesionSettings(store=str(tmp_path / "store"), work=tmp_path / "work")


@pytest.fixture
def trials(tmp_path: Path) -> LocalStore:
    """A store of a study's own."""
    return LocalStore(tmp_path / "store")


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_third_is_given_up_and_the_best_beats_the_recipe(
    pruner: str, base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=20, pruner=pruner, min_epochs=2)
    trainer = Trainer(trials)
    record = run(plan, trainer, settings)
    assert len(record.told) == 20
    pruned = record.of_state("pruned")
    assert len(pruned) >= 7
    assert trainer.n_epochs < 20 * 8 - 7 * 2  # what is given up really ends
    assert all(2 <= max(trial.epochs) < 8 for trial in pruned)
    assert all(list(trial.epochs) == list(range(1, 9)) for trial in record.of_state("complete"))
    assert record.trials[0].is_base
    assert record.trials[0].values["optimisation.learning_rate"] == 1e-3
    assert record.base is not None
    assert record.best is not None
    assert (record.best.score or 0) > (record.base.score or 1)
    assert not list(trials.list("signals/"))


def test_what_falls_behind_at_once_is_given_up_at_the_first_verdict(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=12, pruner="median", min_epochs=3, startup_trials=4)
    bad: set[float] = set()

    def curve(recipe: Recipe) -> list[float]:
        if len(seen) >= 6:
            bad.add(recipe.optimisation.learning_rate)
        seen.append(recipe)
        return [0.1] * 8 if recipe.optimisation.learning_rate in bad else rising(recipe)

    seen: list[Recipe] = []
    record = run(plan, Trainer(trials, curve), settings)
    late = [trial for trial in record.trials if trial.values["optimisation.learning_rate"] in bad]
    assert len(late) == 6
    assert {(trial.state, max(trial.epochs)) for trial in late} == {("pruned", 3)}


def test_without_a_pruner_every_trial_runs_to_its_end(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    trainer = Trainer(trials)
    record = run(make_plan(base, dataset_ref, n_trials=6, pruner="none"), trainer, settings)
    assert [trial.state for trial in record.trials] == ["complete"] * 6
    assert trainer.n_epochs == 6 * 8
    assert all(
        trial.epochs == dict(enumerate(rising(recipe_of(trainer, trial.number)), 1)) for trial in record.trials
    )


def recipe_of(trainer: Trainer, number: int) -> Recipe:
    return next(order.job.recipe for order in trainer.orders if order.number == number)


def test_several_run_at_once_and_no_more_than_asked_for(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    trainer = Trainer(trials, pause=0.005)
    plan = make_plan(base, dataset_ref, n_trials=10, pruner="none")
    record = run(plan, trainer, settings.model_copy(update={"trials_at_once": 3}))
    assert trainer.largest == 3
    assert len(record.told) == 10


def test_the_same_study_draws_the_same_trials_and_more_are_added(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings, tmp_path: Path
) -> None:
    short = make_plan(base, dataset_ref, n_trials=8, startup_trials=3)
    long = make_plan(base, dataset_ref, n_trials=12, startup_trials=3)
    assert short.name == long.name
    first = run(short, Trainer(trials), settings)
    grown = run(long, Trainer(trials), settings)
    assert [trial.values for trial in grown.trials[:8]] == [trial.values for trial in first.trials]
    assert len(grown.told) == 12
    afresh = LesionSettings(store=str(tmp_path / "other"), work=tmp_path / "other-work")
    whole = run(long, Trainer(LocalStore(tmp_path / "other")), afresh)
    assert [trial.values for trial in whole.trials] == [trial.values for trial in grown.trials]
    assert [trial.state for trial in whole.trials] == [trial.state for trial in grown.trials]
    again = Trainer(trials)
    assert run(long, again, settings) == grown
    assert not again.orders


def test_a_trial_that_fails_is_reported_with_its_reason_and_the_study_goes_on(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    def curve(recipe: Recipe) -> list[float]:
        if recipe.optimisation.learning_rate > 4e-3:
            raise TrainingDiverged("the loss is not a number", epoch=2, loss="nan")
        return rising(recipe)

    record = run(make_plan(base, dataset_ref, n_trials=12), Trainer(trials, curve), settings)
    failed = record.of_state("failed")
    assert failed
    assert all(trial.reason == "TrainingDiverged: the loss is not a number" for trial in failed)
    assert all(trial.values["optimisation.learning_rate"] > 4e-3 for trial in failed)  # type: ignore[operator]
    assert len(record.told) == 12


def test_where_the_recipe_itself_fails_nothing_more_is_tried(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    def curve(recipe: Recipe) -> list[float]:
        raise ConfigError("no such weights")

    trainer = Trainer(trials, curve)
    with pytest.raises(TrainingError, match=r"nothing to compare.*no such weights"):
        run(make_plan(base, dataset_ref), trainer, settings)
    assert len(trainer.orders) == 1


def test_a_recipe_that_failed_is_tried_again_before_anything_else(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=6, startup_trials=3)

    def fail(recipe: Recipe) -> list[float]:
        raise ConfigError("no such weights")

    for _ in range(2):
        trainer = Trainer(trials, fail)
        with pytest.raises(TrainingError, match=r"nothing to compare.*no such weights"):
            run(plan, trainer, settings)
        assert len(trainer.orders) == 1
    record = run(plan, Trainer(trials), settings)
    assert [trial.state for trial in record.trials][:3] == ["lost", "lost", "complete"]
    assert [trial.is_base for trial in record.trials] == [True] * 3 + [False] * 5
    assert record.trials[0].reason == "ConfigError: no such weights"
    assert record.base == record.trials[2]
    assert len(record.told) == 6
    assert run(plan, Trainer(trials), settings) == record


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_study_that_is_cancelled_halts_its_trials_and_takes_them_up_again(
    pruner: str, base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=6, pruner=pruner, startup_trials=3)
    trainer = Trainer(trials, pause=0.1)

    def cancel(seconds: float) -> None:
        if trainer.n_epochs >= 4:
            raise KeyboardInterrupt
        time.sleep(0.002)

    two = settings.model_copy(update={"trials_at_once": 2})
    with pytest.raises(KeyboardInterrupt):
        conduct(plan, store=trials, settings=two, start=trainer.start, sleep=cancel)
    for future in trainer.futures:  # the recipe's own, which is not judged, and another
        assert isinstance(future.exception(timeout=60), StudyEnded)
    assert trainer.n_epochs < 2 * 8

    again = Trainer(trials)
    record = run(plan, again, settings)
    assert [trial.state for trial in record.trials][:2] == ["lost", "lost"]
    assert [order.channel for order in again.orders][:2] == [0, 1]
    for lost, taken_up in ((0, 2), (1, 3)):
        assert record.trials[taken_up].values == record.trials[lost].values
        assert set(record.trials[lost].epochs) <= set(record.trials[taken_up].epochs)
    assert record.base == record.trials[2]
    assert len(record.told) == 6
    assert not list(trials.list("signals/"))


def test_a_trial_that_its_study_left_is_not_reported_as_failed(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=6)

    def start(order: TrialOrder) -> Ask:
        def ask() -> None:
            raise StudyEnded("expected the study to go on")

        return ask

    with pytest.raises(StudyEnded):
        conduct(plan, store=trials, settings=settings, start=start)
    record = run(plan, Trainer(trials), settings)
    assert [(trial.state, trial.is_base) for trial in record.trials][:2] == [("lost", True), ("complete", True)]
    assert len(record.told) == 6


def test_what_a_removed_study_of_the_same_name_left_is_not_heard(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=3, pruner="none")
    for number in range(3):
        trials.write(signal_key(plan.name, number, "halt", 0), b"{}")
        for epoch in range(1, 9):
            word = json.dumps({"epoch": epoch, "score": 0.99}).encode()
            trials.write(signal_key(plan.name, number, "epoch", epoch), word)
    trainer = Trainer(trials)
    record = run(plan, trainer, settings)
    assert [trial.epochs for trial in record.trials] == [
        dict(enumerate(rising(recipe_of(trainer, number)), 1)) for number in range(3)
    ]
    assert not list(trials.list("signals/"))


class CountingStore(LocalStore):
    """Counts how often each object is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.n_reads: Counter[StoreKey] = Counter()

    def read(self, key: StoreKey) -> bytes:
        self.n_reads[key] += 1
        return super().read(key)


def test_an_epoch_is_read_once(
    base: Recipe, dataset_ref: DatasetRef, settings: LesionSettings, tmp_path: Path
) -> None:
    store = CountingStore(tmp_path / "store")
    run(make_plan(base, dataset_ref, n_trials=2, pruner="none"), Trainer(store, pause=0.01), settings)
    counts = [count for key, count in store.n_reads.items() if "/epoch-" in key]
    assert counts
    assert set(counts) == {1}


def test_a_time_limit_starts_no_more_trials(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    record = run(
        make_plan(base, dataset_ref, n_trials=500, timeout_minutes=0.01), Trainer(trials, pause=0.02), settings
    )
    assert 1 <= len(record.told) < 100
    assert not record.of_state("running")


@pytest.mark.parametrize("database", [False, True], ids=["journal", "sqlite"])
def test_what_ran_when_the_study_died_is_marked_lost_and_taken_up_again(
    database: bool,
    base: Recipe,
    dataset_ref: DatasetRef,
    trials: LocalStore,
    settings: LesionSettings,
    tmp_path: Path,
) -> None:
    if database:
        settings = settings.model_validate({**settings.model_dump(), "study_storage": f"sqlite:///{tmp_path}/s.db"})
    plan = make_plan(base, dataset_ref, n_trials=7, pruner="none")
    before = run(make_plan(base, dataset_ref, n_trials=4, pruner="none"), Trainer(trials), settings)
    with opened_search(plan, settings) as search:  # dies with one trial half way and one finished but not told
        half, done = search.ask(), search.ask()
        search.report(half.number, 1, 0.3)
        word = json.dumps({"epoch": 1, "score": 0.3}).encode()
        trials.write(signal_key(plan.name, half.channel, "epoch", 1), word)
    stored = keep(trials, done, [0.7] * 8)
    trainer = Trainer(trials)
    record = run(plan, trainer, settings)
    assert record.trials[:4] == before.trials
    assert {trial.number for trial in record.of_state("lost")} == {half.number, done.number}
    assert all("process of the study ended" in trial.reason for trial in record.of_state("lost"))
    assert len(record.told) == 7
    half_again, done_again = record.trials[6], record.trials[7]
    assert half_again.values == record.trials[half.number].values
    assert (half_again.epochs[1], trainer.orders[0].channel) == (0.3, half.channel)  # heard once, not forgotten
    assert (done_again.score, done_again.trial) == (0.7, stored.id)
    assert not list(trials.list("signals/"))
    assert run(plan, Trainer(trials), settings) == record


def test_a_journal_that_ends_in_half_a_line_is_mended(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=7)
    first = run(make_plan(base, dataset_ref, n_trials=6), Trainer(trials), settings)
    journal = settings.work / "studies" / f"{plan.name}.journal"
    with journal.open("ab") as stream:
        stream.write(b'{"op_code":4,"worker')
    record = run(plan, Trainer(trials), settings)
    assert record.trials[:6] == first.trials
    assert len(record.told) == 7
    assert run(plan, Trainer(trials), settings) == record


def test_one_study_has_one_writer(base: Recipe, dataset_ref: DatasetRef, settings: LesionSettings) -> None:
    plan = make_plan(base, dataset_ref)
    with (
        opened_search(plan, settings),
        pytest.raises(ConfigError, match="run by another process"),
        opened_search(plan, settings),
    ):
        pass


@pytest.mark.parametrize(
    "address", ["mysql://u:hunter2@h/d", "not an address hunter2", "postgresql+pg8000://u:hunter2@h/d"]
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(
    address: str, base: Recipe, dataset_ref: DatasetRef, settings: LesionSettings
) -> None:
    settings = settings.model_validate({**settings.model_dump(), "study_storage": address})
    plan = make_plan(base, dataset_ref)
    with pytest.raises(ConfigError, match="LESION_STUDY_STORAGE") as caught, opened_search(plan, settings):
        pass
    assert "hunter2" not in str(caught.value)


def test_every_drawn_value_lies_in_its_space(
    base: Recipe, dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(base, dataset_ref, n_trials=25)
    record = run(plan, Trainer(trials), settings)
    for trial in record.trials:
        assert set(trial.values) == set(SPACE)
        assert all(plan.space[path].holds(value) for path, value in trial.values.items())
    rates = [math.log10(float(trial.values["optimisation.learning_rate"] or 1)) for trial in record.trials]
    assert max(rates) - min(rates) > 1


def test_postgres_keeps_a_study_and_keeps_a_second_machine_out(
    postgres: str,
    base: Recipe,
    dataset_ref: DatasetRef,
    trials: LocalStore,
    settings: LesionSettings,
    tmp_path: Path,
) -> None:
    settings = settings.model_validate({**settings.model_dump(), "study_storage": postgres})
    other_machine = settings.model_copy(update={"work": tmp_path / "other"})
    plan = make_plan(base, dataset_ref, n_trials=6)
    with opened_search(plan, settings) as search:
        order = search.ask()
        search.report(order.number, 1, 0.3)
        with pytest.raises(ConfigError, match="run by another process"), opened_search(plan, other_machine):
            pass
    record = run(plan, Trainer(trials), other_machine)  # the first machine died; another goes on
    assert [trial.state for trial in record.trials][:2] == ["lost", "complete"]
    assert len(record.told) == 6
    assert run(plan, Trainer(trials), settings) == record
    assert not list((settings.work / "studies").glob("*.journal"))


def test_a_database_that_does_not_answer_is_named_without_its_password(
    base: Recipe, dataset_ref: DatasetRef, settings: LesionSettings
) -> None:
    need("psycopg", "psycopg" if find_spec("psycopg") else None)
    address = "postgresql+psycopg://lesion:hunter2@127.0.0.1:9/postgres"
    settings = settings.model_validate({**settings.model_dump(), "study_storage": address})
    plan = make_plan(base, dataset_ref)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9") as caught, opened_search(plan, settings):
        pass
    assert "hunter2" not in str(caught.value)
    assert caught.value.transient
