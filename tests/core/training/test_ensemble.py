"""Several networks of one model: each as if trained alone, resumed where it was, and started from another model's."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ConfigError
from lesion_core.modeling.network.architecture import describe_network
from lesion_core.modeling.network.backbones import BACKBONE
from lesion_core.modeling.network.ensemble import members_of
from lesion_core.modeling.network.network import build_network
from lesion_core.modeling.network.saved import load_network
from lesion_core.modeling.network.test_time_augmentation import without_test_time_augmentation
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.serving.model_folder import ModelFolder, read_model_folder
from lesion_core.stores.folders import get_index, materialise, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.training.ensemble import Weights, fit_members, starting_weights
from lesion_core.training.job import run
from lesion_core.training.spec import TrainJob
from tests.model_folders import write_model_folder

# Keras 3.15 saves variables through a NumPy call that NumPy 2 warns about.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


class _Killed(Exception):
    """The process ends here."""


def _run(job: TrainJob, store: LocalStore, work: Path, listen: ProgressCallback = ignore_progress) -> ModelRef:
    return run(json.loads(job.model_dump_json()), store=store, workdir=work, on_progress=listen)


def _networks(store: LocalStore, ref: ModelRef, cache: Path) -> list[list[np.ndarray]]:
    model = load_network(materialise(store, ref, cache) / "model.keras")
    return [network.get_weights() for network in members_of(without_test_time_augmentation(model))]


def _assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "name": "both", "size_px": 32, "backbone": "tiny", "weights": "none", "deterministic": True,
            "ensemble_size": 2, "test_time_augmentation": 4, "allow_absent_classes": True, "seed": 3,
            "optimisation": {"epochs": 2, "batch_size": 16, "patience": 99},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def both(
    store: LocalStore, dataset_ref: DatasetRef, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModelRef, list[Progress]]:
    """A model of two networks, whose training was killed in the second and run again; and the news after that."""
    work, heard = tmp_path_factory.mktemp("work"), list[Progress]()
    job = TrainJob(recipe=recipe, dataset=dataset_ref)

    def kill(progress: Progress) -> None:
        if progress.message.startswith("network 2 of 2, epoch 1/2") and progress.total is not None:
            assert progress.done >= progress.total / 2
            raise _Killed

    with pytest.raises(_Killed):
        _run(job, store, work, kill)
    return _run(job, store, work, heard.append), heard


def _train(
    recipe: Recipe, dataset: OpenDataset, scratch: Path, *, start: Sequence[Weights] | None = None,
    listen: ProgressCallback = ignore_progress,
) -> keras.Model:  # fmt: skip
    """Train without what follows: a model's export takes longer than the training of its networks."""
    return fit_members(recipe, dataset, scratch=scratch, start=start, teaching=None, on_progress=listen)[0]


@pytest.fixture(scope="module")
def alone(dataset: OpenDataset, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> list[keras.Model]:
    """The two networks, each trained by itself."""
    work = tmp_path_factory.mktemp("alone")
    return [_train(recipe.member(number), dataset, work / str(number)) for number in (0, 1)]


def test_each_network_is_the_one_that_its_seed_gives_alone(
    both: tuple[ModelRef, list[Progress]], alone: list[keras.Model], store: LocalStore, recipe: Recipe, tmp_path: Path
) -> None:
    assert recipe.member(1).seed == 4
    networks = _networks(store, both[0], tmp_path)
    assert any((one != other).any() for one, other in zip(*networks, strict=True))
    for network, by_itself in zip(networks, alone, strict=True):
        _assert_same(network, by_itself.get_weights())


def test_a_finished_network_is_not_trained_again_and_the_news_count_all(
    both: tuple[ModelRef, list[Progress]], store: LocalStore
) -> None:
    ref, heard = both
    steps = [progress for progress in heard if progress.stage == "training"]
    history = pd.read_csv(io.BytesIO(read_file(store, ref, "history.csv")))
    n_steps = int(history["step"].max())
    assert {progress.total for progress in steps} == {2 * n_steps}
    assert steps[0].done >= n_steps
    assert steps[-1].done == 2 * n_steps
    assert history["member"].tolist() == [1, 1, 2, 2]


def test_what_is_kept_tells_of_every_network(
    both: tuple[ModelRef, list[Progress]], store: LocalStore, tmp_path: Path
) -> None:
    ref = both[0]
    files = set(get_index(store, ref)[1].files)
    logs = ("steps.csv", "tensorboard/events.out.tfevents.training")
    assert {f"members/{number}/{name}" for number in (1, 2) for name in logs} <= files
    assert not files & set(logs)
    summary = read_file(store, ref, "summary.txt").decode()
    assert "networks averaged           2" in summary
    provenance = json.loads(read_file(store, ref, "provenance.json"))
    networks = _networks(store, ref, tmp_path)
    assert provenance["n_parameters"] == sum(weight.size for network in networks for weight in network)
    assert provenance["fit_seconds"] > 0


def test_what_is_said_of_the_network_does_not_tell_whether_it_was_killed(
    dataset: OpenDataset, recipe: Recipe, tmp_path: Path
) -> None:
    """A network that was finished before the kill is restored, and never set up for training again."""
    half = {**recipe.model_dump(mode="json"), "weights": _backbone_weights(recipe, tmp_path)}
    half["optimisation"] |= {"head_epochs": 0, "epochs": 1, "unfreeze": 0.5}

    def kill(progress: Progress) -> None:
        if progress.message.startswith("network 2 of 2, epoch"):
            raise _Killed

    texts = []
    for name, kills in (("whole", False), ("broken", True)):
        content = Recipe.model_validate({**half, "name": name})
        if kills:
            with pytest.raises(_Killed):
                _train(content, dataset, tmp_path / name, listen=kill)
        model = _train(content, dataset, tmp_path / name)
        texts.append(describe_network(members_of(model)[0], n_views=4, n_members=2).text)
    assert texts[0] == texts[1]


def _backbone_weights(recipe: Recipe, place: Path) -> str:
    path = place / "backbone.weights.h5"
    build_network(recipe.member(0)).get_layer(BACKBONE).save_weights(path)
    return str(path)


def test_each_starts_from_its_own_or_all_from_one(
    both: tuple[ModelRef, list[Progress]], alone: list[keras.Model], store: LocalStore, dataset: OpenDataset,
    recipe: Recipe, tmp_path: Path,
) -> None:  # fmt: skip
    still = recipe.optimisation.model_copy(
        update={"head_epochs": 0, "epochs": 1, "learning_rate": 1e-12, "batch_size": 64}
    )
    tuned = recipe.model_copy(update={"name": "tuned", "optimisation": still})
    of_two = read_model_folder(materialise(store, both[0], tmp_path), model_id=both[0].id)
    of_one = read_model_folder(write_model_folder(tmp_path / "one"))
    alone[0].save(of_one.path / "model.keras")

    def kernels(model: keras.Model) -> list[np.ndarray]:
        return [network.get_weights()[0] for network in members_of(model)]

    def start(members: int, base: ModelFolder) -> list[np.ndarray]:
        changed = tuned.model_copy(update={"ensemble_size": members})
        weights = starting_weights(base, changed)
        return kernels(_train(changed, dataset, tmp_path / base.model_id.replace("/", "-"), start=weights))

    wanted = [network[0] for network in _networks(store, both[0], tmp_path)]
    np.testing.assert_allclose(start(2, of_two), wanted, atol=1e-6)
    np.testing.assert_allclose(start(2, of_one), kernels(alone[0]) * 2, atol=1e-6)
    with pytest.raises(
        ConfigError, match="to have 1 network or the 3 of recipe 'tuned', got 2; set ensemble_size to 2"
    ):
        start(3, of_two)
