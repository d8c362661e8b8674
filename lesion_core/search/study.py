"""A study: which recipes of a search space are tried, how many, and when one is given up."""

import itertools
from typing import Any, Literal

from pydantic import Field

from lesion_core.dataset.splitting.folds import name_splits
from lesion_core.errors import ConfigError
from lesion_core.keys import DIGEST_LENGTH, digest_of
from lesion_core.lineage.exposure import read_splits
from lesion_core.recipes.recipe import Recipe, parse_recipe
from lesion_core.recipes.search_space import Plain, SearchSpace
from lesion_core.refs import DatasetRef
from lesion_core.stores.protocol import Store
from lesion_core.training.output_key import training_inputs
from lesion_core.training.plan import count_epochs
from lesion_core.training.spec import TrainJob
from lesion_core.types import Value

Values = dict[str, Plain]  # by path of the field

# What a study may not vary, and why.
_FIXED = {
    "name": "it names the recipe",
    "description": "it changes nothing",
    "dataset": "every trial sees the same images",
    "size_px": "the dataset is prepared for one size",
    "colour_constancy": "the dataset is prepared with one",
    "test_time_augmentation": "trials are scored on one view",
    "ensemble_size": "trials are scored on one network",
    "gate": "the gate is set before training",
    "seed": "the luckiest seed is no better recipe",
    "deterministic": "it changes nothing but speed",
    "search": "it is the space itself",
    "optimisation.checkpoint_seconds": "it changes nothing but speed",
    "optimisation.xla": "it changes nothing but speed",
}
_LENGTH = ("optimisation.epochs", "optimisation.head_epochs")


class StudySpec(Value):
    """How a search space is searched."""

    n_trials: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Trials in all; a study with fewer is continued, one with more is not",
    )
    timeout_minutes: float | None = Field(
        default=None, gt=0, description="No trial starts later than this after the run began; running ones finish"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        default="median",
        description="Gives up trials that, at the same epoch, do worse than the median of the others, or than the "
        "best third as Hyperband does",
    )
    min_epochs: int = Field(default=2, ge=1, description="Epochs that every trial gets before it can be given up")
    startup_trials: int = Field(
        default=5, ge=1, description="Trials drawn at random, and complete before the median counts, at first"
    )
    reduction_factor: int = Field(default=3, ge=2, le=10, description="Of Hyperband: one in so many trials goes on")
    fold: int | None = Field(
        default=None, ge=0, description="Cross-validation fold whose validation images score; none: the own splits"
    )
    seed: int = Field(default=7, ge=0, description="Seed of what is drawn; the recipe's own seeds each training")


DEFAULT_STUDY = StudySpec()


class StudyPlan(Value):
    """A recipe with a search space, a dataset, and how to search; checked by ``plan_study``."""

    recipe: Recipe
    dataset: DatasetRef
    spec: StudySpec

    @property
    def space(self) -> SearchSpace:
        """Where values may lie."""
        return self.recipe.search or {}

    @property
    def name(self) -> str:
        """Name of the study: the recipe's, with the digest of everything but its length.

        A study that is asked for again with more trials, or after it was killed, is the same one.
        """
        recipe = self.recipe
        job = TrainJob(recipe=recipe, dataset=self.dataset, fold=self.spec.fold)
        inputs = {
            "training": training_inputs(job),
            "search": recipe.model_dump(mode="json", include={"search"}),
            "spec": self.spec.model_dump(mode="json", exclude={"n_trials", "timeout_minutes"}),
        }
        return f"{recipe.name}-{digest_of(inputs)[:DIGEST_LENGTH]}"


def plan_study(recipe: Recipe, dataset: DatasetRef, spec: StudySpec, store: Store) -> StudyPlan:
    """Check that a study can do what is asked before any work, and return its plan.

    Raises:
        ConfigError: There is no search space, a field of it is unknown, may not be varied or makes a recipe that
            is invalid, the recipe's own values lie outside it, the dataset has another size, not the fold or
            no image to score trials on, or the pruner could never act.
        StoreError: The dataset's table of splits cannot be read.
    """
    plan = StudyPlan(recipe=recipe, dataset=dataset, spec=spec)
    check_space(recipe)
    check_pruner(plan)
    if dataset.size_px != recipe.size_px or dataset.colour_constancy != recipe.colour_constancy:
        raise ConfigError(
            f"recipe {recipe.name!r} wants images of {recipe.size_px} px with colour constancy "
            f"{recipe.colour_constancy!r}, dataset {dataset.id} has {dataset.size_px} px and "
            f"{dataset.colour_constancy!r}; prepare it as the recipe asks"
        )
    check_validation(plan, store)
    return plan


def check_space(recipe: Recipe) -> None:
    """Check a recipe's search space against the recipe itself; raises as ``plan_study`` does."""
    if not recipe.search:
        raise ConfigError(
            f"recipe {recipe.name!r} has no search space; add a section 'search', such as "
            "{optimisation.learning_rate: {type: float, low: 0.0001, high: 0.003, log: true}}"
        )
    for path, dimension in recipe.search.items():
        if why := next((why for field, why in _FIXED.items() if f"{path}.".startswith(f"{field}.")), None):
            raise ConfigError(f"a search may not vary {path!r}: {why}; take it out of recipe {recipe.name!r}")
        if not dimension.holds(own := _own_value(recipe, path)):
            raise ConfigError(
                f"the search space of {path!r} in recipe {recipe.name!r} does not hold the recipe's own {own!r}, "
                "which the first trial has and the others are compared with; widen it, or change the recipe"
            )
    for one, other in itertools.combinations_with_replacement(recipe.search, 2):
        for values in itertools.product(recipe.search[one].probes(), recipe.search[other].probes()):
            with_values(recipe, dict(zip((one, other), values, strict=True)))


def check_pruner(plan: StudyPlan) -> None:
    """Check that the pruner can act: soon enough in a trial, and within the number of trials.

    Raises:
        ConfigError: It cannot.
    """
    spec, recipe = plan.spec, plan.recipe
    if spec.pruner == "none":
        return
    if varied := [path for path in _LENGTH if path in plan.space]:
        raise ConfigError(
            f"pruner {spec.pruner!r} compares trials at the same epoch, but the search of recipe {recipe.name!r} "
            f"varies {', '.join(varied)}; set pruner to 'none', or leave the number of epochs as it is"
        )
    if spec.min_epochs >= (n_epochs := count_epochs(recipe)):
        raise ConfigError(
            f"pruner {spec.pruner!r} can never act: trials of recipe {recipe.name!r} have {n_epochs} epochs, and "
            f"min_epochs gives each at least {spec.min_epochs}; lower min_epochs below {n_epochs} or train longer"
        )
    if spec.pruner == "median" and spec.startup_trials >= spec.n_trials:
        raise ConfigError(
            f"pruner 'median' can never act: it waits for {spec.startup_trials} complete trials (startup_trials) of "
            f"{spec.n_trials}; lower startup_trials or ask for more trials"
        )


def check_validation(plan: StudyPlan, store: Store) -> None:
    """Check that the dataset has the fold that trials are scored on, and validation images in it.

    Raises:
        ConfigError: It has not.
    """
    fold = plan.spec.fold
    splits = read_splits(store, plan.dataset, fold=fold)["split"]
    if not (splits == "validation").any():
        raise ConfigError(
            f"expected validation images, to score trials on, in {name_splits(fold)} of dataset {plan.dataset.id}, "
            "found none; prepare it with more images or a larger validation share"
        )


def own_values(recipe: Recipe) -> Values:
    """Return the recipe's own values of the fields that its search varies."""
    return {path: _own_value(recipe, path) for path in recipe.search or {}}


def with_values(recipe: Recipe, values: Values) -> Recipe:
    """Return ``recipe`` with other values, without its search space and description.

    Raises:
        ConfigError: They make an invalid recipe; the message names the field.
    """
    content: dict[str, Any] = recipe.model_dump(exclude={"search", "description"})
    for path, value in values.items():
        *sections, field = path.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[field] = value
    changed = ", ".join(f"{path} = {value!r}" for path, value in values.items())
    return parse_recipe(content, source=f"{recipe.name!r} with {changed}")


def _own_value(recipe: Recipe, path: str) -> Plain:
    place: Any = recipe
    for part in path.split("."):
        fields = type(place).model_fields if isinstance(place, Value) else {}
        if part not in fields:
            raise ConfigError(
                f"the search of recipe {recipe.name!r} names an unknown field {path!r}: expected one of "
                f"{', '.join(fields) or 'none'} in the place of {part!r}"
            )
        place = getattr(place, part)
    if isinstance(place, Value | dict | tuple | list):
        raise ConfigError(
            f"the search of recipe {recipe.name!r} names {path!r}, which is a section of fields; name one of them"
        )
    own: Plain = place
    return own
