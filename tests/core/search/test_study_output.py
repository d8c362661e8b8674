"""What a study leaves: its table, its figures, and a recipe file that trains as it is."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lesion_core.errors import TrainingDiverged, TrainingError
from lesion_core.figures.canvas import Subject
from lesion_core.figures.search import draw_importance
from lesion_core.recipes.recipe import Recipe, read_recipe
from lesion_core.refs import DatasetRef
from lesion_core.registry.inventory import take_inventory
from lesion_core.registry.reachability import find_reachable, needs_of
from lesion_core.search.study_output import BEST_NAME, EPOCHS_NAME, FIGURES, TABLE_NAME, publish_study
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import read_file, utc_now
from lesion_core.stores.local import LocalStore
from tests.core.search.studies import Trainer, make_plan, rising, run


@pytest.fixture
def settings(tmp_path: Path) -> LesionSettings:
    return LesionSettings(store=str(tmp_path / "store"), work=tmp_path / "work")


@pytest.fixture
def trials(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_a_study_is_kept_whole(
    make_recipe: Callable[..., Recipe],
    dataset_ref: DatasetRef,
    trials: LocalStore,
    settings: LesionSettings,
    tmp_path: Path,
) -> None:
    plan = make_plan(make_recipe(optimisation={"epochs": 6}), dataset_ref, n_trials=16, min_epochs=1)

    def curve(recipe: Recipe) -> list[float]:
        if recipe.optimisation.ema_decay == 0.99:
            raise TrainingDiverged("the loss is not a number", epoch=1, loss="nan")
        return rising(recipe)

    record = run(plan, Trainer(trials, curve), settings)
    found = publish_study(plan, store=trials, settings=settings)
    assert publish_study(plan, store=trials, settings=settings) == found
    assert (found.n_trials, found.best_score) == (16, max(trial.score or 0 for trial in record.trials))
    assert found.n_complete + found.n_pruned + found.n_failed == 16
    assert min(found.n_complete, found.n_pruned, found.n_failed) > 0
    table = pd.read_csv(io.BytesIO(read_file(trials, found, TABLE_NAME)), keep_default_na=False)
    assert list(table["state"]) == [trial.state for trial in record.trials]
    epochs = pd.read_csv(io.BytesIO(read_file(trials, found, EPOCHS_NAME)))
    assert epochs.groupby("trial")["epoch"].max().to_dict() == {
        trial.number: max(trial.epochs) for trial in record.trials if trial.epochs
    }
    for _, name in FIGURES:
        Image.open(io.BytesIO(read_file(trials, found, name))).verify()

    path = tmp_path / "best.yaml"
    path.write_bytes(read_file(trials, found, BEST_NAME))
    best = read_recipe(path)
    assert best.name == "tiny-tuned"
    assert best.search is None
    assert max(rising(best)) == found.best_score
    for part in (plan.name, dataset_ref.id, f"{found.best_score:.4f}", f"{found.base_score:.4f}", "flow tune"):
        assert part in best.description

    grown = make_plan(make_recipe(optimisation={"epochs": 6}), dataset_ref, n_trials=17, min_epochs=1)
    run(grown, Trainer(trials, curve), settings)
    assert publish_study(grown, store=trials, settings=settings).key != found.key


def test_a_study_without_a_complete_trial_has_nothing_to_show(
    make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    with pytest.raises(TrainingError, match=r"no trial of study .* is complete"):
        publish_study(
            make_plan(make_recipe(optimisation={"epochs": 6}), dataset_ref), store=trials, settings=settings
        )


def test_studies_and_trials_stay_as_long_as_their_dataset(
    make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef, trials: LocalStore, settings: LesionSettings
) -> None:
    plan = make_plan(make_recipe(optimisation={"epochs": 6}), dataset_ref, n_trials=3, pruner="none")
    run(plan, Trainer(trials), settings)
    publish_study(plan, store=trials, settings=settings)
    trials.write("signals/tiny-0123456789ab/00000/epoch-0001.json", b"{}")
    inventory = take_inventory(trials)
    assert [folder.kind for folder in inventory.folders.values()] == ["studies", "trials", "trials", "trials"]
    assert not inventory.unknown
    assert {key for folder in inventory.folders.values() for key in needs_of(folder)} == {dataset_ref.key}
    young = find_reachable(trials, inventory, now=utc_now(), retention=pd.Timedelta(days=30).to_pytimedelta())
    assert set(young.kept) == set(inventory.folders)
    late = utc_now() + pd.Timedelta(days=60).to_pytimedelta()
    assert not find_reachable(trials, inventory, now=late, retention=pd.Timedelta(days=30).to_pytimedelta()).kept


def test_too_few_trials_for_an_importance_are_said(tmp_path: Path) -> None:
    path = draw_importance({}, tmp_path / "importance.png", Subject("two trials", synthetic=True))
    Image.open(path).verify()
