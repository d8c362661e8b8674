"""The whole training child: killed, resumed, stored, and proven equal to its ONNX form."""

import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

from lesion_core import jobs
from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactCorrupt, ConfigError, ManifestError, TrainingError
from lesion_core.fields.columns import metadata_inputs
from lesion_core.keys import id_of
from lesion_core.labels import CLASS_ORDER
from lesion_core.modeling.network.saved import load_network
from lesion_core.modeling.network.test_time_augmentation import without_test_time_augmentation
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.serving.predictor import Predictor
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import get_index, materialise, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.training.job import run
from lesion_core.training.out_of_distribution import fit_detector
from lesion_core.training.output_key import training_inputs, training_key
from lesion_core.training.resuming import find_resume_point
from lesion_core.training.spec import TrainJob
from lesion_core.types import PatientMetadata
from tests.stages import finished_stages

MakeRecipe = Callable[..., Recipe]
_FILES = {
    "model.keras", "model.onnx", "recipe.json", "labels.json", "preprocessing.json", "calibration.json",
    "calibration_images.json", "operating_points.json", "conformal.json",
    "provenance.json", "parity.json", "ood.json", "history.csv", "summary.txt", "architecture.png",
    "steps.csv", "tensorboard/events.out.tfevents.training",
    "contact_sheet.png",
}  # fmt: skip


def _settings(store: LocalStore, work: Path) -> LesionSettings:
    return LesionSettings(store=str(store.root), work=work)


@pytest.fixture(scope="module")
def trained(
    store: LocalStore, dataset_ref: DatasetRef, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModelRef, list[Progress]]:
    """A model trained without interruption, in its own store folder."""
    heard: list[Progress] = []
    work = tmp_path_factory.mktemp("work")
    job = TrainJob(recipe=_RECIPE, dataset=dataset_ref)
    ref = jobs.run(
        "train", job, ModelRef, key=training_key(job), settings=_settings(store, work), on_progress=heard.append
    )
    assert not (work / "training" / ref.id).exists()  # nothing is left behind
    return ref, heard


_RECIPE = Recipe.model_validate(
    {
        "name": "whole", "size_px": 32, "backbone": "tiny", "weights": "none", "deterministic": True,
        "allow_absent_classes": True, "test_time_augmentation": 4,
        "optimisation": {"epochs": 3, "batch_size": 8, "patience": 99},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def tuned(
    trained: tuple[ModelRef, list[Progress]],
    store: LocalStore,
    dataset_ref: DatasetRef,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ModelRef, list[Progress]]:
    """That model tuned by rates that move nothing, without its views, with what was said meanwhile.

    The weights that it names are nowhere.
    """
    heard: list[Progress] = []
    work = tmp_path_factory.mktemp("tuned")
    schedule = {"head_epochs": 2, "epochs": 1, "learning_rate": 1e-12, "head_learning_rate": 1e-12, "batch_size": 64}
    content = _RECIPE.model_dump() | {
        "name": "tuned",
        "test_time_augmentation": 1,
        "weights": str(work / "gone.weights.h5"),
    }
    recipe = Recipe.model_validate(content | {"optimisation": content["optimisation"] | schedule})
    job = TrainJob(recipe=recipe, dataset=dataset_ref)
    with pytest.raises(ConfigError, match=r"gone\.weights\.h5"):
        training_key(job)
    with warnings.catch_warnings():
        # Keras 3.15 saves variables through a NumPy call that NumPy 2 warns about.
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        return _run_here(job.starting_from(trained[0]), store, work, heard.append), heard


@pytest.mark.slow
def test_a_model_folder_is_complete_and_its_two_forms_agree(
    trained: tuple[ModelRef, list[Progress]], store: LocalStore, dataset_ref: DatasetRef, tmp_path: Path
) -> None:
    ref, _ = trained
    assert (ref.recipe, ref.dataset, ref.synthetic) == ("whole", dataset_ref, True)
    assert set(get_index(store, ref)[1].files) == _FILES
    parity = json.loads(read_file(store, ref, "parity.json"))
    assert parity["max_abs_difference"] <= parity["tolerance"] == 1e-3
    assert parity["n_images"] > 0
    provenance = json.loads(read_file(store, ref, "provenance.json"))
    assert provenance["absent_classes"] == ["AK", "VASC", "SCC"]
    assert provenance["class_counts"]["AK"] == 0
    assert sum(provenance["class_counts"].values()) == provenance["n_train_images"]
    assert provenance["attributions"] == ["clinic 0", "clinic 1", "clinic 2"]
    assert provenance["licence"] == "CC-BY"
    assert 0 < parity["score_max_relative_difference"] <= parity["score_tolerance"] == 1e-3
    labels = json.loads(read_file(store, ref, "labels.json"))
    assert labels["class_order"] == [str(name) for name in CLASS_ORDER]
    predictor = Predictor.load(materialise(store, ref, tmp_path), threads=1)
    assert predictor.preprocessing.size_px == 32
    assert read_file(store, ref, "architecture.png").startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_score_of_the_image_as_it_is_travels_with_a_model_of_many_views(
    trained: tuple[ModelRef, list[Progress]], store: LocalStore, dataset: OpenDataset, tmp_path: Path
) -> None:
    """So few images of calibration give no threshold: nothing is flagged, but photographs are furthest away."""
    predictor = Predictor.load(materialise(store, trained[0], tmp_path), threads=1)
    stated = predictor.folder.out_of_distribution
    assert stated is not None
    assert stated.n_fit == dataset.split("train")["group"].nunique()
    rows = dataset.split("calibration")
    assert stated.n_calibration == len(rows) < 20
    assert "too few for a threshold" in stated.reason
    scores = predictor.predict(dataset.pixels(rows), metadata_inputs(rows)).ood_score
    detector = fit_detector(dataset)
    assert detector.stated == stated
    np.testing.assert_allclose(scores, detector.scores(dataset.pixels(rows)), rtol=1e-3)
    for photograph in (data.astronaut(), data.coffee()):
        likeness = predictor.predict_bytes(_png(photograph), PatientMetadata()).out_of_distribution
        assert likeness is not None
        assert likeness.flagged is None
        assert likeness.score > 1.5 * float(np.max(scores))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
def test_every_long_part_of_a_training_is_a_stage_that_tells_how_far_it_is(
    trained: tuple[ModelRef, list[Progress]], store: LocalStore, dataset: OpenDataset
) -> None:
    ref, heard = trained
    parts = finished_stages(heard)
    assert list(parts) == [
        "fetch dataset", "network", "training", "out of distribution", "export", "parity check", "calibration",
        "model files", "publish",
    ]  # fmt: skip
    assert parts["training"] == _history(store, ref)["step"].iloc[-1]
    assert parts["parity check"] == 2 * json.loads(read_file(store, ref, "parity.json"))["n_images"]
    assert parts["calibration"] == len(dataset.split("calibration"))
    stated = json.loads(read_file(store, ref, "ood.json"))
    assert parts["out of distribution"] == stated["n_fit"] + stated["n_calibration"]
    assert parts["publish"] == len(_FILES)
    converting = {each.message for each in heard if "pass" in each.message}
    assert len(converting) > 5, "the conversion, the longest part of an export, says nothing"


def _run_here(job: TrainJob, store: LocalStore, work: Path, listen: ProgressCallback = ignore_progress) -> ModelRef:
    """Do in this process, where TensorFlow is loaded already, what the child does."""
    return run(json.loads(job.model_dump_json()), store=store, workdir=work, on_progress=listen)


@pytest.mark.slow
def test_work_that_is_done_is_returned_at_once(
    trained: tuple[ModelRef, list[Progress]], store: LocalStore, dataset_ref: DatasetRef, tmp_path: Path
) -> None:
    again = _RECIPE.model_copy(update={"description": "other words, the same model"})
    heard: list[Progress] = []
    assert _run_here(TrainJob(recipe=again, dataset=dataset_ref), store, tmp_path, heard.append) == trained[0]
    assert heard == []
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_fine_tuning_starts_from_another_version_and_names_it(
    trained: tuple[ModelRef, list[Progress]],
    tuned: tuple[ModelRef, list[Progress]],
    store: LocalStore,
    tmp_path: Path,
) -> None:
    assert json.loads(read_file(store, tuned[0], "provenance.json"))["start_from"] == trained[0].id
    kernels = [[w for w in _weights(store, model, tmp_path) if w.ndim == 4] for model in (trained[0], tuned[0])]
    assert len(kernels[0]) >= 4
    for mine, theirs in zip(*kernels, strict=True):
        assert np.allclose(mine, theirs, atol=1e-6)


@pytest.mark.slow
def test_a_model_of_another_shape_is_no_start(
    trained: tuple[ModelRef, list[Progress]],
    store: LocalStore,
    dataset_ref: DatasetRef,
    make_recipe: MakeRecipe,
    tmp_path: Path,
) -> None:
    job = TrainJob(recipe=make_recipe(fusion="concat"), dataset=dataset_ref).starting_from(trained[0])
    with pytest.raises(ConfigError, match=r"expected model whole/.* to have the network of recipe 'tiny'"):
        _run_here(job, store, tmp_path)


@pytest.mark.slow
def test_views_are_served_and_left_behind_in_fine_tuning(
    trained: tuple[ModelRef, list[Progress]],
    tuned: tuple[ModelRef, list[Progress]],
    store: LocalStore,
    tmp_path: Path,
) -> None:
    served = load_network(materialise(store, trained[0], tmp_path) / "model.keras")
    assert without_test_time_augmentation(served) is not served
    assert "views averaged              4" in read_file(store, trained[0], "summary.txt").decode()
    metadata = _patients(3)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    with_metadata = Predictor.load(materialise(store, trained[0], tmp_path)).predict(images, metadata)
    mirrored = np.ascontiguousarray(images[:, ::-1])
    np.testing.assert_allclose(
        Predictor.load(materialise(store, trained[0], tmp_path)).predict(mirrored, metadata).logits,
        with_metadata.logits,
        atol=1e-4,
    )
    single = load_network(materialise(store, tuned[0], tmp_path) / "model.keras")
    assert without_test_time_augmentation(single) is single
    for one, other in zip(
        _weights(store, tuned[0], tmp_path), without_test_time_augmentation(served).get_weights(), strict=True
    ):
        assert one.shape == other.shape


@pytest.mark.slow
def test_fine_tuning_needs_no_pretrained_weights_and_freezes_what_was_learnt(
    tuned: tuple[ModelRef, list[Progress]], store: LocalStore, dataset: OpenDataset
) -> None:
    """The file that the first training began with is gone, or the model began with none: its own weights count."""
    ref, heard = tuned
    history = read_file(store, ref, "history.csv").decode()
    assert [line.split(",")[1] for line in history.splitlines()[1:]] == ["head", "head", "all"]
    n_steps = [int(step) for step in _history(store, ref)["step"]]
    training = [each for each in heard if each.stage == "training"]
    head = [each for each in heard if each.stage == "head training"]
    assert (head[-1].done, head[-1].total) == (n_steps[1], n_steps[1])
    assert (training[-1].done, training[-1].total) == (n_steps[2], n_steps[2])
    parts = finished_stages(heard)
    learnt = ["fetch model", "network", "frozen features, train", "frozen features, validation", "head training"]
    assert list(parts)[1:6] == learnt
    assert parts["frozen features, validation"] == len(dataset.split("validation"))


def test_memory_that_runs_out_at_the_end_is_said_with_what_is_kept(
    store: LocalStore,
    dataset_ref: DatasetRef,
    make_recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lesion_core.training.job.write_model", refuse)
    job = TrainJob(recipe=make_recipe(name="heavy", optimisation={"epochs": 1}), dataset=dataset_ref)
    with pytest.raises(
        TrainingError,
        match=r"'heavy' is trained, but needs more memory .* lower test_time_augmentation or ensemble_size",
    ):
        _run_here(job, store, tmp_path)
    assert list((tmp_path / "training" / id_of(training_key(job))).glob("checkpoint-0/*.checkpoint"))
    found = find_resume_point(job, store, tmp_path)  # what a real training leaves behind
    assert found is not None
    assert (found.is_finished, found.epoch, found.step) == (True, 1, found.n_steps)


def _patients(n_images: int) -> dict[str, np.ndarray]:
    return {
        "age_years": np.full(n_images, np.nan, np.float32),
        "sex_code": np.zeros(n_images, np.int32),
        "site_code": np.ones(n_images, np.int32),
    }


def test_weights_that_are_not_in_the_store_are_refused_before_any_work(
    dataset_ref: DatasetRef, store: LocalStore, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe(weights=f"store:weights/{'a' * 64}/backbone.h5")
    with pytest.raises(ConfigError, match="which are not in"):
        _run_here(TrainJob(recipe=recipe, dataset=dataset_ref), store, tmp_path / "work")
    assert not (tmp_path / "work" / "datasets").exists()


def test_records_of_another_size_are_refused_before_any_work(
    store: LocalStore, dataset_ref: DatasetRef, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    job = TrainJob(recipe=make_recipe(size_px=64), dataset=dataset_ref)
    with pytest.raises(ConfigError, match=r"wants images of 64 px, the records of dataset .* have 32"):
        _run_here(job, store, tmp_path)


def test_records_lit_otherwise_are_refused_before_any_work(
    store: LocalStore, dataset_ref: DatasetRef, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    job = TrainJob(recipe=make_recipe(colour_constancy="shades-of-gray"), dataset=dataset_ref)
    with pytest.raises(ConfigError, match=r"wants colour constancy 'shades-of-gray', the records .* have 'none'"):
        _run_here(job, store, tmp_path)


def test_a_dataset_changed_after_certification_is_refused(
    store: LocalStore, dataset_ref: DatasetRef, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    copy = LocalStore(tmp_path / "store")
    shutil.copytree(store.root, copy.root)
    folder = materialise(copy, dataset_ref, tmp_path)
    table = pd.read_parquet(folder / "splits.parquet")
    table["class_index"] = np.int8(0)
    table.to_parquet(folder / "splits.parquet")
    job = TrainJob(recipe=make_recipe(name="planted"), dataset=dataset_ref)
    with pytest.raises((ManifestError, ArtifactCorrupt)):
        _run_here(job, copy, tmp_path / "work")


def test_a_version_is_named_by_all_that_decides_it_and_nothing_else(
    dataset_ref: DatasetRef, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    job = TrainJob(recipe=make_recipe(), dataset=dataset_ref)
    key = training_key(job)
    gate = {"max_balanced_accuracy_drop": 0.5}
    same = make_recipe(description="words", gate=gate)
    assert training_key(TrainJob(recipe=same, dataset=dataset_ref)) == key
    assert training_key(TrainJob(recipe=make_recipe(seed=8), dataset=dataset_ref)) != key
    start = {"start_from": "whole/0123456789ab", "start_from_sha256": "a" * 64}
    tuned = job.model_copy(update=start)
    assert training_key(tuned) not in (key, training_key(tuned.model_copy(update={"start_from_sha256": "b" * 64})))
    other = dataset_ref.model_copy(update={"sha256": "f" * 64})
    assert training_key(TrainJob(recipe=make_recipe(), dataset=other)) != key
    weights = tmp_path / "backbone.weights.h5"
    weights.write_bytes(b"one")
    from_file = TrainJob(recipe=make_recipe(weights=str(weights)), dataset=dataset_ref)
    one = training_inputs(from_file)
    weights.write_bytes(b"other")
    assert training_inputs(from_file) != one
    weights.unlink()
    with pytest.raises(ConfigError, match="weights file"):
        training_key(from_file)


def _history(store: LocalStore, ref: ModelRef) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(read_file(store, ref, "history.csv")))


def _weights(store: LocalStore, ref: ModelRef, cache: Path) -> list[np.ndarray]:
    model = load_network(materialise(store, ref, cache) / "model.keras")
    return [np.asarray(weight) for weight in model.weights]
