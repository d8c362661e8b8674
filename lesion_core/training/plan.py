"""Which epochs and steps a training has, known before it starts."""

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from lesion_core.errors import ConfigError
from lesion_core.labels import CLASS_ORDER
from lesion_core.recipes.recipe import Recipe

StageName = Literal["head", "all"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs ``first`` to ``end`` (exclusive) that train the same layers with one optimizer."""

    name: StageName
    first: int
    end: int
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of a training, in order, and how many steps an epoch has."""

    stages: tuple[Stage, ...]
    steps_per_epoch: int
    warmup_share: float

    @property
    def n_epochs(self) -> int:
        """Epochs of all stages together."""
        return self.stages[-1].end

    @property
    def n_steps(self) -> int:
        """Steps of all epochs together."""
        return self.n_epochs * self.steps_per_epoch

    def learning_rate(self, stage: Stage, epoch: int, batch: int) -> float:
        """Return the rate of one step: a linear rise, then half a cosine down to 0 at the end of the stage.

        Loshchilov & Hutter 2017, "SGDR" (arXiv:1608.03983), without restarts.
        """
        n_steps = (stage.end - stage.first) * self.steps_per_epoch
        step = (epoch - stage.first) * self.steps_per_epoch + batch
        n_warmup = round(self.warmup_share * n_steps)
        if step < n_warmup:
            return stage.learning_rate * (step + 1) / n_warmup
        progress = (step - n_warmup) / max(n_steps - n_warmup, 1)
        return stage.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def make_plan(recipe: Recipe, rows: pd.DataFrame, *, is_tuning: bool = False) -> Plan:
    """Return the plan of ``recipe`` for the rows of a training split.

    Args:
        recipe: Any.
        rows: The training split, with ``class_index``.
        is_tuning: Whether the training starts from the weights of another model.

    Raises:
        ConfigError: The batch is larger than the split; the split lacks a class and the recipe does not allow it; or
            layers would stay frozen at random weights.
    """
    optimisation, n_images = recipe.optimisation, len(rows)
    if n_images < optimisation.batch_size:
        raise ConfigError(
            f"recipe {recipe.name!r} wants batches of {optimisation.batch_size} images, but the training split has "
            f"{n_images}; lower optimisation.batch_size or use a larger dataset"
        )
    if not recipe.allow_absent_classes:
        _check_classes(recipe, rows)
    if optimisation.unfreeze < 1 and not starts_trained(recipe, is_tuning=is_tuning):
        raise ConfigError(
            f"recipe {recipe.name!r} has optimisation.unfreeze {optimisation.unfreeze:g} and weights 'none': the "
            "layers below would keep random weights for good; set unfreeze to 1, or name pretrained weights"
        )
    head_epochs, end = _head_epochs(recipe, is_tuning), count_epochs(recipe, is_tuning=is_tuning)
    stages = [Stage("all", head_epochs, end, optimisation.learning_rate)]
    if head_epochs:
        stages.insert(0, Stage("head", 0, head_epochs, optimisation.head_learning_rate))
    return Plan(tuple(stages), n_images // optimisation.batch_size, optimisation.warmup_share)


def count_epochs(recipe: Recipe, *, is_tuning: bool = False) -> int:
    """Return the epochs of all stages of a training."""
    return _head_epochs(recipe, is_tuning) + recipe.optimisation.epochs


def starts_trained(recipe: Recipe, *, is_tuning: bool) -> bool:
    """Return whether the backbone has learnt something before the first step: if not, nothing is worth freezing."""
    return is_tuning or recipe.weights != "none"


def _head_epochs(recipe: Recipe, is_tuning: bool) -> int:
    return recipe.optimisation.head_epochs if starts_trained(recipe, is_tuning=is_tuning) else 0


def absent_classes(rows: pd.DataFrame) -> list[str]:
    """Return the classes of which a training split has no image."""
    present = set(rows["class_index"])
    return [str(label) for place, label in enumerate(CLASS_ORDER) if place not in present]


def _check_classes(recipe: Recipe, rows: pd.DataFrame) -> None:
    if absent := absent_classes(rows):
        raise ConfigError(
            f"recipe {recipe.name!r} wants training images of all {len(CLASS_ORDER)} classes, the training split has "
            f"none of {', '.join(absent)}; use a dataset with such images, or set allow_absent_classes to train a "
            "model that never names them"
        )
