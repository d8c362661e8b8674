"""What a comparison will train, settled and checked before anything is trained."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pandas as pd

from lesion_core.comparison.crossing import recipes_of
from lesion_core.comparison.spec import CompareRequest, ComparisonPlan, Run
from lesion_core.dataset.splitting.folds import name_splits
from lesion_core.errors import ConfigError, DataError
from lesion_core.evaluation.test_access import PlannedAccess, check_first_access, name_test
from lesion_core.keys import id_of
from lesion_core.lineage.exposure import read_splits
from lesion_core.recipes.datasets import choose_dataset
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.protocol import Store
from lesion_core.training.output_key import training_key
from lesion_core.training.spec import TrainJob


def plan_comparison(request: CompareRequest, store: Store, settings: LesionSettings) -> ComparisonPlan:
    """Return every run of a comparison: each recipe on each fold with each seed.

    Raises:
        ConfigError: A recipe, a fold or an axis that cannot be used; seeds so close that two trainings of a recipe
            would share a network; or a measurement on test images that an older version of a recipe was measured on,
            unless the request says ``again``.
        ArtifactNotFound: There is no dataset of the name, size and colour that a recipe asks for.
        DataError: The recipes' datasets do not hold the same images in the folds.
    """
    recipes = recipes_of(request, settings.recipes)
    _check_seeds(request.seeds, recipes)
    datasets = {recipe.name: _dataset_for(recipe, request, store) for recipe in recipes}
    _check_same_images(request, list(datasets.values()), store)
    runs = tuple(
        Run(recipe=seeded, dataset=datasets[recipe.name], fold=fold)
        for recipe in recipes
        for fold in request.folds or (None,)
        for seeded in _seeded(recipe, request)
    )
    if request.split != "test" or request.again:
        return ComparisonPlan(request=request, recipes=recipes, runs=runs)
    planned = list(_planned_accesses(runs, store))
    check_first_access(store, planned)
    companions = tuple(access.model_id for access in planned)
    return ComparisonPlan(request=request, recipes=recipes, runs=runs, companions=companions)


def _check_seeds(seeds: Sequence[int], recipes: Sequence[Recipe]) -> None:
    """Refuse seeds of which two trainings share a network: those would agree more than two trainings do."""
    largest = max(recipes, key=lambda recipe: recipe.ensemble_size)
    apart, ordered = largest.ensemble_size, sorted(seeds)
    for one, other in pairwise(ordered):
        if other - one < apart:
            spaced = ", ".join(str(ordered[0] + apart * number) for number in range(len(ordered)))
            raise ConfigError(
                f"expected seeds at least {apart} apart, because recipe {largest.name!r} trains {apart} networks "
                f"with seeds from its own on, got {one} and {other}, which would share a network; take {spaced}"
            )


def _seeded(recipe: Recipe, request: CompareRequest) -> Iterator[Recipe]:
    return (recipe.model_copy(update={"seed": seed}) for seed in request.seeds or (recipe.seed,))


def _dataset_for(recipe: Recipe, request: CompareRequest, store: Store) -> DatasetRef:
    return choose_dataset(recipe, store, request.dataset)


def _check_same_images(request: CompareRequest, datasets: list[DatasetRef], store: Store) -> None:
    """Refuse datasets that would measure different images; what can be known is known before any training."""
    different = {dataset.id: dataset for dataset in datasets}
    for fold in request.folds or (None,):
        first, *others = (_measured_images(store, dataset, fold, request.split) for dataset in different.values())
        for dataset, images in zip(list(different.values())[1:], others, strict=True):
            if not images.equals(first):
                common = len(set(images["isic_id"]) & set(first["isic_id"]))
                raise DataError(
                    f"expected datasets with the same {request.split} images in {name_splits(fold)}, got "
                    f"{len(first):,} in {next(iter(different))} and {len(images):,} in {dataset.id}, {common:,} in "
                    "common; prepare both from the same snapshot under one name"
                )


def _measured_images(store: Store, dataset: DatasetRef, fold: int | None, split: str) -> pd.DataFrame:
    """Return isic_id, group and class_index of a split, sorted by id.

    Raises:
        ConfigError: There is no such fold.
    """
    table = read_splits(store, dataset, fold=fold)
    chosen = table[table["split"] == split]
    if chosen.empty:
        raise ConfigError(
            f"expected images in the {split} split of {dataset.id}, found none; compare on another split"
        )
    return chosen[["isic_id", "group", "class_index"]].sort_values("isic_id", ignore_index=True)


def _planned_accesses(runs: tuple[Run, ...], store: Store) -> Iterator[PlannedAccess]:
    for run in runs:
        job = TrainJob(recipe=run.recipe, dataset=run.dataset, fold=run.fold)
        test = name_test(store, run.dataset, run.fold)
        yield PlannedAccess(test, run.dataset, run.recipe.name, id_of(training_key(job)))
