"""The networks of one model, trained one after the other, each as if it were alone.

A member that is finished is restored from its last checkpoint and not trained again, so a training that was killed
continues in the member that it was at.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ConfigError
from lesion_core.modeling.network.ensemble import as_ensemble, member_name, members_of
from lesion_core.modeling.network.network import build_network
from lesion_core.modeling.network.saved import load_network
from lesion_core.modeling.network.test_time_augmentation import without_test_time_augmentation
from lesion_core.progress import Progress, ProgressCallback, Tally
from lesion_core.recipes.recipe import Recipe
from lesion_core.serving.model_folder import ModelFolder
from lesion_core.training.devices import as_float32, set_up
from lesion_core.training.distillation import Teaching
from lesion_core.training.loop.fit import FitResult, fit
from lesion_core.training.loop.layers import release
from lesion_core.training.resuming import member_checkpoints

Weights = list[np.ndarray]


def fit_members(
    recipe: Recipe,
    dataset: OpenDataset,
    *,
    scratch: Path,
    start: Sequence[Weights] | None,
    teaching: Teaching | None,
    on_progress: ProgressCallback,
) -> tuple[keras.Model, list[FitResult]]:
    """Train every network that a recipe asks for; return the one that averages them, in float32, and how it went.

    Args:
        recipe: Its weights are on this machine.
        dataset: As for ``fit``.
        scratch: Folder for the checkpoints of all members.
        start: What each network's weights are before training, from ``starting_weights``.
        teaching: As for ``fit``; all members have the same teacher.
        on_progress: Hears of each member's steps as a part of all of them.

    Raises:
        ConfigError: As for ``fit``; or ``start`` fits another network.
        TrainingDiverged: As for ``fit``.
        TrainingError: As for ``fit``.
    """
    networks, fits = [], []
    for number in range(recipe.ensemble_size):
        own = recipe.member(number)
        set_up(own)
        # A model's own weights replace all others, which need not be at hand any more.
        built = own if start is None else own.model_copy(update={"weights": "none"})
        name = "network" if recipe.ensemble_size == 1 else f"network {number + 1} of {recipe.ensemble_size}"
        with Tally(on_progress, name, 1).part("building"):
            network = build_network(built, name=member_name(number, recipe.ensemble_size))
            if start is not None:
                _set_weights(network, start[number], recipe)
        report = on_progress if recipe.ensemble_size == 1 else _as_part(on_progress, number, recipe.ensemble_size)
        checkpoints = member_checkpoints(scratch, number)
        is_tuning = start is not None
        fits.append(
            fit(
                network,
                own,
                dataset,
                checkpoints=checkpoints,
                on_progress=report,
                teaching=teaching,
                is_tuning=is_tuning,
            )
        )
        networks.append(as_float32(network, own))
        release(networks[-1], own, is_tuning=is_tuning)  # a member that was finished before has not been set so
    return as_ensemble(networks), fits


def check_weights(recipe: Recipe) -> None:
    """Build what the recipe describes, and let it go: whoever waits hours before building it should know that it can.

    Raises:
        ConfigError: As for ``build_network``.
    """
    build_network(recipe.member(0))
    keras.utils.clear_session()  # the names of its layers are free again


def starting_weights(base: ModelFolder, recipe: Recipe) -> list[Weights]:
    """Return the weights that each member of ``recipe`` starts from: those of the same member of ``base``.

    A base of one network gives its weights to all.

    Raises:
        ConfigError: The base has another number of networks; or its file is missing or damaged.
    """
    found = members_of(without_test_time_augmentation(load_network(base.path / "model.keras")))
    if len(found) not in (1, recipe.ensemble_size):
        raise ConfigError(
            f"expected model {base.model_id} to have 1 network or the {recipe.ensemble_size} of recipe "
            f"{recipe.name!r}, got {len(found)}; set ensemble_size to {len(found)}, or leave start_from out"
        )
    weights = [network.get_weights() for network in found]
    return weights * recipe.ensemble_size if len(found) == 1 else weights


def _set_weights(network: keras.Model, weights: Weights, recipe: Recipe) -> None:
    ours, theirs = [tuple(each.shape) for each in network.weights], [each.shape for each in weights]
    if ours != theirs:
        raise ConfigError(
            f"expected a model to start from with the network of recipe {recipe.name!r} ({len(ours)} weights), got "
            f"{len(theirs)} weights of other shapes; use its own backbone, fusion and size_px, or leave start_from "
            "out"
        )
    network.set_weights(weights)


def _as_part(on_progress: ProgressCallback, number: int, n_members: int) -> ProgressCallback:
    """Return a callback that tells of one member's steps as a part of those of all members, which have as many."""

    def tell(progress: Progress) -> None:
        total, metrics = progress.total or 0, dict(progress.metrics)
        if "eta_seconds" in metrics and metrics.get("steps_per_second"):
            metrics["eta_seconds"] += (n_members - 1 - number) * total / metrics["steps_per_second"]
        on_progress(
            progress.model_copy(
                update={
                    "done": number * total + progress.done,
                    "total": n_members * total,
                    "message": f"network {number + 1} of {n_members}, {progress.message}",
                    "metrics": metrics,
                }
            )
        )

    return tell
