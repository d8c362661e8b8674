"""A training that leaves out one fold: what it is called, what it sees, and what it may not start from."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.errors import ConfigError, LeakageError
from lesion_core.labels import CLASS_ORDER
from lesion_core.progress import ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.stores.folders import get_index, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.training.job import run
from lesion_core.training.output_key import training_inputs, training_key
from lesion_core.training.spec import TrainJob

FOLD = 2
MakeRecipe = Callable[..., Recipe]

# Keras 3.15 saves variables through a NumPy call that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def _train(job: TrainJob, store: LocalStore, work: Path) -> ModelRef:
    return run(json.loads(job.model_dump_json()), store=store, workdir=work, on_progress=ignore_progress)


@pytest.fixture(scope="module")
def without_fold(
    store: LocalStore, dataset_ref: DatasetRef, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainJob, ModelRef]:
    optimisation = {"epochs": 1, "head_epochs": 0, "batch_size": 16}
    network = {"size_px": 32, "backbone": "tiny", "weights": "none", "allow_absent_classes": True}
    recipe = Recipe.model_validate({"name": "folded", **network, "optimisation": optimisation})
    job = TrainJob(recipe=recipe, dataset=dataset_ref, fold=FOLD)
    return job, _train(job, store, tmp_path_factory.mktemp("folds"))


@pytest.mark.slow
def test_its_model_says_which_fold_it_left_out_and_how_many_images_each_split_had(
    without_fold: tuple[TrainJob, ModelRef], store: LocalStore, dataset: OpenDataset
) -> None:
    _, model = without_fold
    assert model.fold == FOLD
    assert get_index(store, model)[1].inputs["fold"] == FOLD
    splits = dataset.for_fold(FOLD)
    provenance = json.loads(read_file(store, model, "provenance.json"))
    assert provenance["fold"] == FOLD
    assert provenance["n_images"] == {split: len(splits.split(split)) for split in SPLITS}
    assert provenance["n_images"] != {split: len(dataset.split(split)) for split in SPLITS}
    counts = splits.split("train")["class_index"].value_counts()
    assert provenance["class_counts"] == {str(name): counts.get(i, 0) for i, name in enumerate(CLASS_ORDER)}
    calibration = json.loads(read_file(store, model, "calibration.json"))
    assert calibration["n_images"] == len(splits.split("calibration"))
    assert calibration["class_prior"] == pytest.approx([1 / 8] * 8)


def test_a_fold_is_part_of_a_models_name_and_none_changes_nothing(
    dataset_ref: DatasetRef, make_recipe: MakeRecipe
) -> None:
    jobs = [TrainJob(recipe=make_recipe(), dataset=dataset_ref, fold=fold) for fold in (None, 0, 1)]
    assert len({training_key(job) for job in jobs}) == 3
    assert "fold" not in training_inputs(jobs[0])


def test_a_fold_that_is_not_there_is_refused_before_any_work(
    store: LocalStore, dataset_ref: DatasetRef, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    job = TrainJob(recipe=make_recipe(name="nowhere"), dataset=dataset_ref, fold=99)
    with pytest.raises(ConfigError, match="expected a fold from 0 to 4, got 99"):
        _train(job, store, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("fold", [None, FOLD + 1])
def test_no_training_starts_from_a_model_that_saw_its_test_images(
    without_fold: tuple[TrainJob, ModelRef], fold: int | None, store: LocalStore, tmp_path: Path
) -> None:
    job, model = without_fold
    tuned = job.recipe.model_copy(update={"name": "tuned-folds"})
    with pytest.raises(LeakageError, match=r"folded/[0-9a-f]+ has seen .*groups of the validation split"):
        _train(TrainJob(recipe=tuned, dataset=job.dataset, fold=fold).starting_from(model), store, tmp_path)
