"""What a teacher brings a small student: ``python -m benchmarks.distillation STORE DATASET WORK [STUDENT]``.

STORE is a local store, DATASET the JSON of a dataset's reference in it, WORK a folder for what is trained; a
benchmark that was stopped goes on there. All train on one fold and are compared on its validation split; the test
fold is not opened. The peer of the taught student is the same recipe with the same seed and steps, taught by the
labels alone. With STUDENT only that one is trained, so that several processes can share the work; the last run,
without it, compares.
"""

import statistics
import sys
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.measure import write_result
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.fields.columns import metadata_inputs
from lesion_core.modeling.network.network import build_network
from lesion_core.progress import Progress
from lesion_core.recipes.recipe import Recipe, read_recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.serving.predictor import OnnxModel, Predictor
from lesion_core.statistics.intervals import measure
from lesion_core.statistics.paired import Difference, paired_difference
from lesion_core.stores.filesystem import file_digest
from lesion_core.stores.local import LocalStore
from lesion_core.training.loop.fit import fit
from lesion_core.training.output import Lesson, Making, write_model
from lesion_core.training.spec import Distillation
from lesion_core.training.teacher import Teacher, teach

FOLD = 0
SEED, N_BOOTSTRAP = 7, 1000
SETTINGS = Distillation()
STUDENT = read_recipe(Path(__file__).parents[1] / "deployments/recipes/isic-tiny.yaml")
TEACHER = Recipe.model_validate(
    {
        "name": "teacher",
        "size_px": 128,
        "backbone": "efficientnet-lite0",
        "optimisation": {
            "head_epochs": 8,
            "head_learning_rate": 0.001,
            "epochs": 1,
            "batch_size": 32,
            "learning_rate": 0.0005,
            "checkpoint_seconds": 60,
        },
    }
)
STUDENTS = {"tiny, labels alone": False, "tiny, taught": True}


def train(
    recipe: Recipe, dataset: OpenDataset, place: Path, store: LocalStore, teacher: Teacher | None = None
) -> Path:
    """Train a recipe, or go on with it, and return its model folder."""
    folder = place / "model"
    if (folder / "done").exists():
        return folder
    keras.utils.set_random_seed(recipe.seed)
    model = build_network(recipe)
    teaching = teach(teacher, recipe, dataset, SETTINGS, store=store, scratch=place / "answers", on_progress=say)
    fitted = fit(model, recipe, dataset, checkpoints=place / "checkpoint", on_progress=say, teaching=teaching)
    folder.mkdir(parents=True, exist_ok=True)
    lesson = None if teacher is None else Lesson(teacher.folder, teacher.ref.sha256, SETTINGS)
    write_model(folder, model, recipe, dataset, [fitted], Making(lesson=lesson))
    (folder / "done").write_text(str(fitted.n_steps))
    return folder


def say(progress: Progress) -> None:
    """Print what a training is at."""
    print(progress.stage, progress.done, progress.total, progress.message, dict(progress.metrics), flush=True)


def as_teacher(folder: Path, dataset: DatasetRef) -> Teacher:
    """Return a trained folder as a teacher."""
    ref = ModelRef(
        id="teacher/benchmark",
        key="models/teacher/benchmark",
        sha256=file_digest(folder / "model.onnx"),
        recipe=TEACHER.name,
        dataset=dataset,
        fold=FOLD,
        synthetic=False,
    )
    return Teacher(ref, Predictor.load(folder, model_id=ref.id))


def answers(folder: Path, dataset: OpenDataset) -> np.ndarray:
    """Return a model's probabilities on the validation split, float32 (n, 8)."""
    predictor, rows = Predictor.load(folder), dataset.split("validation")
    return predictor.predict(dataset.pixels(rows), metadata_inputs(rows)).probs


def milliseconds(
    folders: dict[str, Path], dataset: OpenDataset, rounds: int = 9, calls: int = 40
) -> dict[str, float]:
    """Return the time of one image on one thread: the median of rounds in which the models take turns."""
    rows = dataset.split("validation").iloc[:1]
    image, metadata = dataset.pixels(rows), metadata_inputs(rows)
    models = {name: OnnxModel(folder / "model.onnx", threads=1, batch_size=1) for name, folder in folders.items()}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            times = []
            for _ in range(calls):
                started = time.perf_counter()
                model.run(image, metadata)
                times.append(time.perf_counter() - started)
            taken[name].append(1000 * statistics.median(times))
    return {name: statistics.median(values) for name, values in taken.items()}


def n_parameters(folder: Path) -> int:
    """Return how many numbers a network has."""
    return int(keras.saving.load_model(folder / "model.keras", compile=False).count_params())


def compare(folders: dict[str, Path], dataset: OpenDataset) -> dict[str, object]:
    """Return what is known of the models on the validation split, as a table and as numbers."""
    rows = dataset.split("validation")
    truth, groups = rows["class_index"].to_numpy(np.int64), rows["group"].astype(str).to_numpy(dtype=str)
    probs = {name: answers(folder, dataset) for name, folder in folders.items()}
    chosen = {name: values.argmax(axis=1) for name, values in probs.items()}
    times, table = milliseconds(folders, dataset), []
    for name, folder in folders.items():
        found = measure(truth, probs[name], groups, n_bootstrap=N_BOOTSTRAP, seed=SEED)
        agreement = f"{float((chosen[name] == chosen['teacher']).mean()):.3f}"
        table.append(
            [
                "EfficientNet-Lite0 (teacher)" if name == "teacher" else name,
                f"{n_parameters(folder):,}",
                f"{times[name]:.2f}",
                found.estimate("balanced_accuracy").in_words(),
                found.estimate("malignant_sensitivity").in_words(),
                "" if name == "teacher" else agreement,
            ]
        )
    alone, taught = (chosen[name] for name in STUDENTS)
    paired = paired_difference(truth, taught, alone, groups, n_bootstrap=N_BOOTSTRAP, seed=SEED)
    differences = (signed(paired.balanced_accuracy), signed(paired.malignant_sensitivity))
    table.append(["taught minus labels alone, same images", "", "", *differences, ""])
    header = [
        "model", "parameters", "ms an image", "balanced accuracy", "malignant sensitivity", "agrees with the teacher",
    ]  # fmt: skip
    return {"table": {"header": header, "rows": table}, "n_images": len(rows), "n_groups": len(set(groups))}


def signed(difference: Difference) -> str:
    """Return '+0.031 (0.012 to 0.050)'."""
    found = difference.difference
    return f"{found.value:+.3f} ({found.interval_in_words()})"


def main(store_folder: Path, reference: Path, work: Path, only: str | None = None) -> None:
    """Train what is missing; where all are wanted, compare them and write ``distillation.json``."""
    store, ref = LocalStore(store_folder), DatasetRef.model_validate_json(reference.read_text())
    dataset = open_dataset(store, ref, work / "datasets").for_fold(FOLD)
    folders = {"teacher": train(TEACHER, dataset, work / "teacher", store)}
    teacher = as_teacher(folders["teacher"], ref)
    for name, is_taught in STUDENTS.items():
        if only in (None, name):
            place = work / name.replace(", ", "-").replace(" ", "-")
            folders[name] = train(STUDENT, dataset, place, store, teacher if is_taught else None)
    if only is None:
        command = "python -m benchmarks.distillation STORE DATASET WORK"
        about = {
            "fold": FOLD,
            "dataset": ref.id,
            "distillation": SETTINGS.model_dump(),
            "teacher": TEACHER.model_dump(mode="json", exclude={"description", "gate"}),
            "student": STUDENT.model_dump(mode="json", exclude={"description", "gate"}),
        }
        print(write_result("distillation", command, {**compare(folders, dataset), **about}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *sys.argv[4:5])
