"""What a model to start from or a teacher has seen is counted against the splits of the training."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError, LeakageError
from lesion_core.keys import digest_of, model_key
from lesion_core.lineage.exposure import lineage_of
from lesion_core.lineage.unseen_check import check_network, check_unseen, count_seen_groups
from lesion_core.progress import ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.registry.inventory import take_inventory
from lesion_core.registry.reachability import needs_of
from lesion_core.serving.model_folder import Provenance, read_model_folder
from lesion_core.stores.folders import get_index, publish, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder
from lesion_core.training.job import run
from lesion_core.training.output import Lesson, Making, describe_provenance
from lesion_core.training.output_key import training_inputs, training_key
from lesion_core.training.spec import Distillation, FineTuning, TrainJob
from lesion_core.types import JsonDict
from tests.model_folders import write_model_folder

MakeRecipe = Callable[..., Recipe]
_SPLITS = ("train", "validation", "calibration", "test")


def _table(**columns: list[object]) -> pd.DataFrame:
    n = len(columns["isic_id"])
    empty = {name: [None] * n for name in ("lesion_id", "patient_id")}
    return pd.DataFrame({"sha256": [f"file of {name}" for name in columns["isic_id"]], **empty, **columns})


_OWN = _table(
    isic_id=["a", "b", "c", "d", "e"],
    group=["1", "2", "3", "3", "4"],
    split=["train", "validation", "test", "test", "calibration"],
    lesion_id=["L1", "L2", "L3", None, None],
    patient_id=[None, "P2", None, "P3", None],
)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"isic_id": ["x"], "group": ["x"], "split": ["train"]}, {}),
        ({"isic_id": ["a"], "group": ["x"], "split": ["train"]}, {}),  # a training image of both
        ({"isic_id": ["c"], "group": ["x"], "split": ["train"]}, {"test": 1}),
        ({"isic_id": ["c", "d"], "group": ["x", "y"], "split": ["train"] * 2}, {"test": 1}),  # one group
        ({"isic_id": ["x"], "group": ["x"], "split": ["train"], "sha256": ["file of e"]}, {"calibration": 1}),
        ({"isic_id": ["x"], "group": ["x"], "split": ["train"], "lesion_id": ["L2"]}, {"validation": 1}),
        ({"isic_id": ["x"], "group": ["x"], "split": ["train"], "patient_id": ["P3"]}, {"test": 1}),
        # 'x' looks like 'b' in the other dataset's eyes, though only 'x' was learnt from.
        ({"isic_id": ["x", "b"], "group": ["g", "g"], "split": ["train", "quarantined"]}, {"validation": 1}),
        # What chose the other model may choose this one, but not test it.
        ({"isic_id": ["b", "c"], "group": ["b", "c"], "split": ["validation"] * 2}, {"test": 1}),
        ({"isic_id": ["b", "c"], "group": ["b", "c"], "split": ["test"] * 2}, {}),
    ],
)
def test_groups_that_were_seen_are_counted_by_split(seen: dict[str, list[object]], expected: dict[str, int]) -> None:
    found = count_seen_groups(_table(**seen), _OWN)
    assert {split: n for split, n in found.items() if n} == expected


def _publish(
    store: LocalStore, place: Path, dataset: DatasetRef, fold: int | None = None, **inputs: object
) -> ModelRef:
    """Publish a hand-made model as trained on a dataset."""
    given: JsonDict = {"dataset": dataset.sha256, "fold": fold, **inputs}
    folder = write_model_folder(place / digest_of(given)[:8], synthetic=False)
    key = model_key("hand-made", digest_of(given))
    summary = {"recipe": "hand-made", "dataset": dataset.model_dump(mode="json"), "fold": fold, "synthetic": False}
    index, sha256 = publish(store, key, folder, step="train", step_version=1, inputs=given, summary=summary)
    return ref_from_folder(ModelRef, key, index, sha256)


def test_the_same_splits_and_the_same_fold_are_apart(store: LocalStore, dataset: OpenDataset, tmp_path: Path) -> None:
    check_unseen(store, [_publish(store, tmp_path, dataset.ref)], dataset, None, role="teacher")
    fold = _publish(store, tmp_path, dataset.ref, fold=1)
    check_unseen(store, [fold], dataset.for_fold(1), 1, role="teacher")


@pytest.mark.parametrize(("theirs", "ours"), [(1, 2), (None, 2), (2, None)])
def test_another_fold_is_refused_with_its_counts(
    store: LocalStore, dataset: OpenDataset, tmp_path: Path, theirs: int | None, ours: int | None
) -> None:
    model = _publish(store, tmp_path, dataset.ref, fold=theirs)
    mine, other = (dataset if fold is None else dataset.for_fold(fold) for fold in (ours, theirs))
    learnt, made = set(other.split("train")["group"]), set()
    for split in ("train", "validation", "calibration"):
        made |= set(other.split(split)["group"])
    n_test = len(set(mine.split("test")["group"]) & made)
    n_validation = len(set(mine.split("validation")["group"]) & learnt)
    with pytest.raises(LeakageError, match=r"expected a teacher that has not seen .* take a teacher") as caught:
        check_unseen(store, [model], mine, ours, role="teacher")
    assert (n_test > 0) == (ours is not None)  # the frozen test is in no fold
    assert caught.value.seen["test"] == n_test
    assert caught.value.seen["validation"] == n_validation > 0
    assert (f"{n_test:,} groups of the test split" in str(caught.value)) == (n_test > 0)


def test_what_a_parent_models_parent_saw_counts_too(store: LocalStore, dataset: OpenDataset, tmp_path: Path) -> None:
    for name in ("start_from", "teacher"):
        first = _publish(store, tmp_path, dataset.ref, fold=1, way=name)
        second = _publish(store, tmp_path, dataset.ref, **{name: first.id})
        with pytest.raises(LeakageError, match=f"{second.id} has seen .* by way of {first.id}"):
            check_unseen(store, [second], dataset, None, role="model to start from")


def test_a_student_saw_what_its_teacher_saw_and_keeps_it_in_the_store(
    store: LocalStore, dataset: OpenDataset, tmp_path: Path
) -> None:
    """So an image that the archive takes back is found in the student too, and its teacher is not collected first."""
    first = _publish(store, tmp_path, dataset.ref, way="first")
    teacher = _publish(store, tmp_path, dataset.ref, start_from=first.id)
    student = _publish(store, tmp_path, dataset.ref, teacher=teacher.id)
    assert lineage_of(store, student) == ([student, teacher, first], [])
    folders = take_inventory(store).folders
    assert teacher.key in set(needs_of(folders[student.key]))


def test_where_nobody_can_tell_it_is_refused(store: LocalStore, dataset: OpenDataset, tmp_path: Path) -> None:
    orphan = _publish(store, tmp_path, dataset.ref, start_from="gone/000000000000")
    with pytest.raises(ArtifactNotFound, match="found no gone/000000000000 in the store"):
        check_unseen(store, [orphan], dataset, None, role="teacher")
    lost = dataset.ref.model_copy(update={"id": "lost/1", "key": "datasets/lost/1", "sha256": "1" * 64})
    with pytest.raises(ArtifactNotFound, match="found no lost/1 in the store"):
        check_unseen(store, [_publish(store, tmp_path, lost)], dataset, None, role="teacher")


@pytest.mark.parametrize("role", ["start_from", "teacher"])
def test_a_training_refuses_a_parent_model_of_another_fold_before_any_work(
    store: LocalStore, dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, role: str
) -> None:
    model = _publish(store, tmp_path, dataset.ref, fold=1)
    job = TrainJob(recipe=make_recipe(size_px=32), dataset=dataset.ref)
    if role == "teacher":
        job = job.taught_by(model, Distillation())
        expected, match = LeakageError, "expected a teacher that has not seen"
    else:  # the hand-made network has 64 px: the misfit is found first
        job = job.starting_from(model)
        expected, match = ConfigError, r"size_px 32, got 64; use its own size_px"
    with pytest.raises(expected, match=match):
        run(json.loads(job.model_dump_json()), store=store, workdir=tmp_path / "work", on_progress=ignore_progress)
    assert not (tmp_path / "work/training").joinpath(training_key(job).removeprefix("models/")).exists()


@pytest.mark.parametrize("role", ["start_from", "teacher"])
def test_a_parent_model_that_was_made_anew_is_another_one(
    store: LocalStore, dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, role: str
) -> None:
    model = _publish(store, tmp_path, dataset.ref).model_copy(update={"sha256": "0" * 64})
    job = TrainJob(recipe=make_recipe(size_px=32), dataset=dataset.ref)
    job = job.taught_by(model, Distillation()) if role == "teacher" else job.starting_from(model)
    with pytest.raises(ArtifactCorrupt, match="was published anew since; start again"):
        run(json.loads(job.model_dump_json()), store=store, workdir=tmp_path / "work", on_progress=ignore_progress)


def test_weights_that_do_not_fit_are_found_before_the_teacher_is_asked(
    store: LocalStore, dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object, **__: object) -> None:
        pytest.fail("the teacher was asked")

    monkeypatch.setattr("lesion_core.training.job.teach", ask)
    weights = tmp_path / "of-another-network.weights.h5"
    weights.write_bytes(b"no weights at all")
    teacher = _publish(store, tmp_path, dataset.ref)
    job = TrainJob(recipe=make_recipe(size_px=32, weights=str(weights)), dataset=dataset.ref)
    job = job.taught_by(teacher, Distillation())
    with pytest.raises(ConfigError, match="of-another-network"):
        run(json.loads(job.model_dump_json()), store=store, workdir=tmp_path / "work", on_progress=ignore_progress)


def test_a_misfit_names_every_field(tmp_path: Path) -> None:
    base = read_model_folder(write_model_folder(tmp_path / "base"), model_id="base/1")
    fits = Recipe.model_validate({**base.recipe, "name": "fits", "dropout": 0.5})
    check_network(fits, base)
    misfit = fits.model_copy(update={"fusion": "concat", "backbone": "efficientnet-lite0"})
    with pytest.raises(
        ConfigError, match=r"backbone 'efficientnet-lite0', got 'tiny'; fusion 'concat', got 'additive'"
    ):
        check_network(misfit, base)


def test_a_fine_tuning_changes_what_is_given_and_nothing_else(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(description="of the first training")
    assert FineTuning().applied_to(recipe) == recipe.model_copy(update={"description": ""})
    changed = FineTuning(name="tuned", epochs=3, learning_rate=1e-4, seed=9).applied_to(recipe)
    assert (changed.name, changed.seed) == ("tuned", 9)
    assert (changed.optimisation.epochs, changed.optimisation.learning_rate) == (3, 1e-4)
    assert changed.optimisation.batch_size == recipe.optimisation.batch_size
    assert changed.backbone == recipe.backbone
    assert Recipe.model_validate(changed.model_dump()) == changed


def test_a_student_is_named_by_its_teachers_bytes_and_by_how_it_listens(
    store: LocalStore, dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    teacher = _publish(store, tmp_path, dataset.ref)
    alone = TrainJob(recipe=make_recipe(), dataset=dataset.ref)
    taught = alone.taught_by(teacher, Distillation())
    others = [
        alone.taught_by(teacher.model_copy(update={"sha256": "2" * 64}), Distillation()),
        alone.taught_by(teacher, Distillation(temperature=4.0)),
        alone.taught_by(teacher, Distillation(label_weight=0.5)),
    ]
    assert len({training_key(job) for job in (alone, taught, *others)}) == 5
    assert training_key(alone) == training_key(alone.model_copy(update={"distillation": Distillation(temperature=9)}))
    assert not {"teacher", "teacher_sha256", "distillation"} & set(training_inputs(alone))


def test_a_student_inherits_from_its_teacher(dataset: OpenDataset, tmp_path: Path) -> None:
    real = write_model_folder(tmp_path / "teacher", synthetic=False)  # by "A hospital", under CC-BY-NC
    lesson = Lesson(read_model_folder(real, model_id="isic/1"), "3" * 64, Distillation())
    free = replace(dataset, ref=dataset.ref.model_copy(update={"licence": "CC-0", "synthetic": False}))
    stated = describe_provenance(free, Making(lesson=lesson))
    assert stated["licence"] == "CC-BY-NC"
    assert {"A hospital", "clinic 0"} <= set(stated["attributions"])
    assert not stated["synthetic"]
    assert (stated["teacher"], stated["teacher_sha256"]) == ("isic/1", "3" * 64)
    assert stated["distillation"]["temperature"] == Distillation().temperature
    generated = read_model_folder(write_model_folder(tmp_path / "generated", synthetic=True))
    assert describe_provenance(free, Making(lesson=Lesson(generated, "3" * 64, Distillation())))["synthetic"]
    assert describe_provenance(free, Making())["teacher"] is None
    assert Provenance.model_validate(stated).teacher == "isic/1"


# Keras 3.15 saves variables through a NumPy call that NumPy 2 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.slow
def test_a_student_is_trained_stored_and_tells_of_its_teacher(
    store: LocalStore, dataset: OpenDataset, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    teacher = _publish(store, tmp_path, dataset.ref)
    provenance = json.loads(read_file(store, teacher, "provenance.json"))
    assert provenance["licence"] == "CC-BY-NC"
    recipe = make_recipe(name="student", optimisation={"epochs": 1})
    job = TrainJob(recipe=recipe, dataset=dataset.ref).taught_by(teacher, Distillation(label_weight=0.0))
    heard: list[str] = []
    ref = run(
        json.loads(job.model_dump_json()), store=store, workdir=tmp_path / "work",
        on_progress=lambda progress: heard.append(progress.stage),
    )  # fmt: skip
    assert heard.index("teacher") < heard.index("training")
    assert get_index(store, ref)[1].inputs["teacher_sha256"] == teacher.sha256
    stated = json.loads(read_file(store, ref, "provenance.json"))
    assert (stated["teacher"], stated["licence"]) == (teacher.id, "CC-BY-NC")
    assert not (tmp_path / "work/training" / ref.id).exists()
