"""What each stage of a training works with: its step, its batches, and its logits on validation.

All feeds are made here, so that a training on other targets has one place to say so.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd

from lesion_core.dataset.records import OpenDataset
from lesion_core.modeling.feed.input import Batch, TrainingFeed, evaluation_batches
from lesion_core.modeling.feed.losses import make_loss
from lesion_core.recipes.recipe import Recipe
from lesion_core.training.distillation import Teaching, check_teachable
from lesion_core.training.loop.features import FeatureFeed, make_head, pool_features
from lesion_core.training.loop.layers import rate_shares, release
from lesion_core.training.loop.step import Loss, Trainer, make_logits, make_trainer
from lesion_core.training.plan import StageName

OnFeatures = Callable[[str, int, int], None]  # a split, images done of it, and of how many
OnImages = Callable[[int], None]  # images done


@dataclass(frozen=True, slots=True)
class StageSetup:
    """A training step, the batches of an epoch from one on, and the logits of the validation split."""

    trainer: Trainer
    batches: Callable[[int, int], Iterable[Batch]]
    validate: Callable[[OnImages], np.ndarray]


@dataclass(frozen=True, slots=True)
class StageInputs:
    """What a training is made of."""

    model: keras.Model
    recipe: Recipe
    dataset: OpenDataset
    train: pd.DataFrame
    validation: pd.DataFrame
    teaching: Teaching | None = None
    is_tuning: bool = False  # whether the network has the weights of another model

    @property
    def loss(self) -> Loss:
        """The loss that the recipe asks for, given the classes of the training split, blended with any teacher's.

        Raises:
            ConfigError: A taught recipe mixes images.
        """
        loss = make_loss(self.recipe, self.train["class_index"].to_numpy())
        if self.teaching is None:
            return loss
        check_teachable(self.recipe)
        return self.teaching.blend(loss)

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """What goes with the labels of each training image, by name."""
        return {} if self.teaching is None else self.teaching.targets

    def set_up(self, stage: StageName, on_features: OnFeatures) -> StageSetup:
        """Return the setup of a stage; ``on_features`` hears of the work before the first stage's steps."""
        return _head_setup(self, on_features) if stage == "head" else _full_setup(self)


def _full_setup(inputs: StageInputs) -> StageSetup:
    model, recipe, dataset = inputs.model, inputs.recipe, inputs.dataset
    release(model, recipe, is_tuning=inputs.is_tuning)
    logits = make_logits(model)
    trainer = make_trainer(model, recipe, inputs.loss, shares=rate_shares(model, recipe), is_averaged=True)
    return StageSetup(
        trainer=trainer,
        batches=TrainingFeed(dataset, inputs.train, recipe, inputs.targets).batches,
        validate=lambda on_images: logits(
            _counted(evaluation_batches(dataset, inputs.validation, recipe.optimisation.batch_size), on_images)
        ),
    )


def _head_setup(inputs: StageInputs, on_features: OnFeatures) -> StageSetup:
    feed = replace(_features(inputs, "train", inputs.train, on_features), targets=inputs.targets)
    check = None if inputs.validation.empty else _features(inputs, "validation", inputs.validation, on_features)
    head = make_head(inputs.model)
    logits = make_logits(head)
    return StageSetup(
        trainer=make_trainer(head, inputs.recipe, inputs.loss),
        batches=feed.batches,
        validate=lambda on_images: logits([] if check is None else _counted(check.inputs_in_order(), on_images)),
    )


def _counted(batches: Iterable[dict[str, np.ndarray]], on_images: OnImages) -> Iterator[dict[str, np.ndarray]]:
    done = 0
    for inputs in batches:
        yield inputs
        done += len(next(iter(inputs.values())))
        on_images(done)


def _features(inputs: StageInputs, split: str, rows: pd.DataFrame, on_features: OnFeatures) -> FeatureFeed:
    size = inputs.recipe.optimisation.batch_size
    pooled = pool_features(inputs.model, inputs.dataset, rows, size, lambda done: on_features(split, done, len(rows)))
    return FeatureFeed(pooled, rows, inputs.recipe)
