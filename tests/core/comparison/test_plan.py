"""What a comparison will train, and what it refuses before anything is trained."""

from pathlib import Path

import pytest

from lesion_core.comparison.plan import plan_comparison
from lesion_core.comparison.spec import CompareRequest
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.errors import ArtifactNotFound, ConfigError, DataError
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.test_access import read_accesses, record_access
from lesion_core.keys import id_of
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef, SnapshotRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import get_index
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import get_reference
from lesion_core.training.output_key import training_key
from lesion_core.training.spec import TrainJob

SETTINGS = LesionSettings()


def _recipe(name: str, **changes: object) -> Recipe:
    content = {"name": name, "dataset": "noise", "size_px": 32, "backbone": "tiny", "weights": "none", **changes}
    return Recipe.model_validate(content)


def _request(*recipes: Recipe, **changes: object) -> CompareRequest:
    return CompareRequest.model_validate({"name": "x", "recipes": recipes, **changes})


def _model(dataset: DatasetRef, recipe: Recipe, fold: int) -> ModelRef:
    key = training_key(TrainJob(recipe=recipe, dataset=dataset, fold=fold))
    return ModelRef(
        id=id_of(key), key=key, sha256="0" * 64, recipe=recipe.name, dataset=dataset, fold=fold, synthetic=True
    )


def test_every_recipe_meets_every_fold_and_every_seed(store: LocalStore, dataset_ref: DatasetRef) -> None:
    plan = plan_comparison(_request(_recipe("a"), _recipe("b", seed=3), folds=[0, 2], seeds=[1, 5]), store, SETTINGS)
    found = [(run.recipe.name, run.fold, run.recipe.seed) for run in plan.runs]
    assert found == [(name, fold, seed) for name in "ab" for fold in (0, 2) for seed in (1, 5)]
    assert {run.dataset.id for run in plan.runs} == {dataset_ref.id}
    own = plan_comparison(_request(_recipe("b", seed=3), folds=[]), store, SETTINGS)
    assert [(run.fold, run.recipe.seed) for run in own.runs] == [(None, 3)]


def test_what_cannot_be_trained_is_refused_before_any_work(store: LocalStore, dataset_ref: DatasetRef) -> None:
    with pytest.raises(ConfigError, match="expected a fold from 0 to 4, got 7"):
        plan_comparison(_request(_recipe("a"), folds=[0, 7]), store, SETTINGS)
    with pytest.raises(ArtifactNotFound, match="'noise' with records of 64 px"):
        plan_comparison(_request(_recipe("a", size_px=64)), store, SETTINGS)
    with pytest.raises(ArtifactNotFound, match="'elsewhere' with records of 32 px"):
        plan_comparison(_request(_recipe("a"), dataset="elsewhere"), store, SETTINGS)


def test_sizes_may_differ_but_not_the_images(store: LocalStore, dataset_ref: DatasetRef, tmp_path: Path) -> None:
    """The same snapshot at another size has the same folds; under another name it has folds of its own."""
    snapshot = get_reference(
        store, SnapshotRef, "snapshots", get_index(store, dataset_ref)[1].inputs["snapshot"]["id"]
    )
    larger = prepare(snapshot, PrepareOptions(name="noise", size_px=40), store, workdir=tmp_path)
    plan = plan_comparison(_request(_recipe("a"), _recipe("b", size_px=40)), store, SETTINGS)
    assert {run.recipe.name: run.dataset.id for run in plan.runs} == {"a": dataset_ref.id, "b": larger.id}
    prepare(snapshot, PrepareOptions(name="other", size_px=40, seed=8), store, workdir=tmp_path)
    with pytest.raises(DataError, match="the same calibration images in the splits of fold 0"):
        plan_comparison(_request(_recipe("a"), _recipe("b", size_px=40, dataset="other")), store, SETTINGS)


def test_seeds_whose_trainings_would_share_a_network_are_refused(store: LocalStore, dataset_ref: DatasetRef) -> None:
    """A recipe with three networks trains them with its seed and the two that follow."""
    recipes = (_recipe("one"), _recipe("pair", ensemble_size=2), _recipe("trio", ensemble_size=3))
    shared = recipes[2].model_copy(update={"seed": 5}).member(2)
    assert shared == recipes[2].model_copy(update={"seed": 7}).member(0)
    with pytest.raises(
        ConfigError, match=r"at least 3 apart, because recipe 'trio' .* got 5 and 7, .* take 1, 4, 7$"
    ):
        plan_comparison(_request(*recipes, seeds=[7, 1, 5]), store, SETTINGS)
    for seeds in ([7, 1, 4], [2], []):
        assert plan_comparison(_request(*recipes, seeds=seeds), store, SETTINGS).runs
    assert len(plan_comparison(_request(recipes[0], seeds=[1, 2], folds=[0]), store, SETTINGS).runs) == 2


def test_the_models_of_one_comparison_may_look_together(store: LocalStore, dataset_ref: DatasetRef) -> None:
    recipe = _recipe("companion")
    request = _request(recipe, split="test", folds=[3], seeds=[1, 2])
    models = [_model(dataset_ref, recipe.model_copy(update={"seed": seed}), 3) for seed in (1, 2)]
    plan = plan_comparison(request, store, SETTINGS)
    assert plan.companions == tuple(model.id for model in models)
    for model in models:
        record_access(EvaluateJob(model=model, dataset=dataset_ref, companions=plan.companions), store)
    alone = plan_comparison(_request(recipe, split="test", folds=[3], seeds=[1]), store, SETTINGS)
    assert alone.companions == (models[0].id,)  # it has looked already: its report is found again
    with pytest.raises(ConfigError, match=rf"were measured before: {models[1].id} on fold\.3"):
        plan_comparison(_request(recipe, split="test", folds=[3], seeds=[1, 4]), store, SETTINGS)
    asked = {"folds": [3], "seeds": [4]}
    again = _request(recipe, split="test", again=True, reason="a third seed", **asked)
    assert plan_comparison(again, store, SETTINGS).companions is None
    assert plan_comparison(_request(recipe, **asked), store, SETTINGS).companions is None  # no test


def test_a_second_look_is_refused_unless_it_is_reported_why(store: LocalStore, dataset_ref: DatasetRef) -> None:
    old, new = _recipe("looker"), _recipe("looker", dropout=0.5)
    record_access(EvaluateJob(model=_model(dataset_ref, old, 1), dataset=dataset_ref), store)
    plan_comparison(_request(old, split="test", folds=[1]), store, SETTINGS)  # the very same version
    plan_comparison(_request(new, split="test", folds=[0, 2]), store, SETTINGS)
    plan_comparison(_request(new, split="calibration", folds=[1]), store, SETTINGS)
    with pytest.raises(ConfigError, match=r"were measured before: looker/.* on fold\.1 of noise"):
        plan_comparison(_request(new, split="test", folds=[0, 1]), store, SETTINGS)
    again = _request(new, split="test", folds=[1], again=True, reason="the first had a wrong size")
    assert plan_comparison(again, store, SETTINGS).request.reason == "the first had a wrong size"
    noted = [look for look in read_accesses(store, "noise") if look.recipe == "looker"]
    assert len(noted) == 1  # a plan is no look
