"""The files of a model version, and the proof that its two forms agree."""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from lesion_core.dataset.records import OpenDataset
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.errors import TrainingError
from lesion_core.figures.architecture import draw_architecture
from lesion_core.images import Preprocessing
from lesion_core.labels import CLASS_ORDER
from lesion_core.modeling.feed.contact_sheet import write_contact_sheet
from lesion_core.modeling.feed.input import TrainingFeed, evaluation_batches
from lesion_core.modeling.network.architecture import describe_network
from lesion_core.modeling.network.ensemble import members_of
from lesion_core.modeling.network.export import add_network, export_onnx
from lesion_core.modeling.network.out_of_distribution import SCORE
from lesion_core.modeling.network.test_time_augmentation import with_test_time_augmentation
from lesion_core.parquet import read_frame
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.recipes.class_shares import class_counts
from lesion_core.recipes.recipe import Recipe
from lesion_core.serving.model_folder import OOD_NAME, ModelFolder, vocabulary
from lesion_core.serving.predictor import OnnxModel
from lesion_core.training.calibration import calibrate, onnx_outputs
from lesion_core.training.loop.fit import FitResult
from lesion_core.training.loop.logs import store_logs
from lesion_core.training.loop.step import make_logits
from lesion_core.training.out_of_distribution import Detector, fit_detector
from lesion_core.training.plan import absent_classes
from lesion_core.training.spec import Distillation
from lesion_core.types import LICENCE_ORDER, JsonDict, Sha256

PARITY_TOLERANCE = 1e-3  # on logits: moves no probability by more than 0.0005
SCORE_TOLERANCE = 1e-3  # on the out-of-distribution score, as a share of it, or of 1 where it is less
_PARITY_BATCHES, _LEAST_PARITY_IMAGES = 8, 64  # each augmented view counts as an image
_BATCH = 32  # images at once, augmented views counted


@dataclass(frozen=True, slots=True)
class Lesson:
    """Who taught a model, and how it listened."""

    teacher: ModelFolder
    teacher_sha256: Sha256
    settings: Distillation


@dataclass(frozen=True, slots=True)
class Making:
    """How a model came about, besides its recipe and its dataset."""

    base: ModelFolder | None = None  # whose weights it started from
    lesson: Lesson | None = None
    fold: int | None = None  # whose splits the dataset has


def write_model(
    folder: Path,
    model: keras.Model,
    recipe: Recipe,
    dataset: OpenDataset,
    fits: Sequence[FitResult],
    made: Making,
    on_progress: ProgressCallback = ignore_progress,
) -> None:
    """Write every file of a model version into ``folder``, which must be there and empty.

    Args:
        folder: Where to.
        model: What was trained: one network, or several ``as_ensemble``.
        recipe: Of the whole.
        dataset: With the splits that were trained and chosen on.
        fits: How the training of each member went.
        made: How the model came about besides.
        on_progress: Gets the stages 'out of distribution', 'export', 'parity check', 'calibration' and 'model
            files'.

    Raises:
        TrainingError: ``model.onnx`` does not answer as ``model.keras`` does.
    """
    served = with_test_time_augmentation(
        model, recipe.test_time_augmentation
    )  # what is calibrated and evaluated is what will be served
    detector = fit_detector(dataset, on_progress)
    _write_json(folder / OOD_NAME, detector.stated.model_dump(mode="json"))
    batch_size = max(1, _BATCH // recipe.test_time_augmentation)
    onnx = _export(served, detector, folder, batch_size, Tally(on_progress, "export", 4))
    _write_json(folder / "parity.json", prove_parity(served, detector, onnx, dataset, on_progress))
    for name, found in calibrate(onnx, dataset, recipe, on_progress).items():
        _write_json(folder / name, found.model_dump(mode="json"))
    with Tally(on_progress, "model files", 1).part("provenance, contact sheet, figures"):
        _describe(folder, model, recipe, dataset, fits, made)


def _export(served: keras.Model, detector: Detector, folder: Path, batch_size: int, tally: Tally) -> OnnxModel:
    """Write both forms of the network, and open the one that will be served; it alone holds the detector."""
    names = itertools.count(1)

    def tell(name: str) -> None:
        tally.tell(f"converting to model.onnx, pass {next(names)}: {name.replace('_', ' ')}")

    with tally.part("writing model.keras"):
        served.save(folder / "model.keras")
    with tally.part("converting to model.onnx"):
        export_onnx(served, folder / "model.onnx", tell)
    with tally.part("adding the out-of-distribution score to model.onnx"):
        add_network(folder / "model.onnx", detector.network, tell)
    with tally.part("opening model.onnx"):
        return OnnxModel(folder / "model.onnx", batch_size=batch_size)


def _describe(
    folder: Path, model: keras.Model, recipe: Recipe, dataset: OpenDataset, fits: Sequence[FitResult], made: Making
) -> None:
    _write_json(folder / "recipe.json", recipe.model_dump(mode="json"))
    _write_json(folder / "labels.json", vocabulary())
    preprocessing = Preprocessing(size_px=recipe.size_px, colour_constancy=recipe.colour_constancy)
    _write_json(folder / "preprocessing.json", preprocessing.model_dump(mode="json"))
    store_fits(fits, folder)
    summary = describe_network(members_of(model)[0], n_views=recipe.test_time_augmentation, n_members=len(fits))
    provenance = describe_provenance(dataset, made)
    provenance |= {"n_parameters": summary.n_parameters, "fit_seconds": round(sum(fit.seconds for fit in fits), 1)}
    _write_json(folder / "provenance.json", provenance)
    write_contact_sheet(TrainingFeed(dataset, dataset.split("train"), recipe), folder / "contact_sheet.png")
    (folder / "summary.txt").write_text(summary.text, encoding="utf-8")
    draw_architecture(summary, folder / "architecture.png")


def store_fits(fits: Sequence[FitResult], folder: Path) -> None:
    """Write history.csv and the logs: with several members, those of each into ``members/<number>``, from 1."""
    histories = [pd.DataFrame(fit.history) for fit in fits]
    if len(fits) == 1:
        store_logs(fits[0].logs, folder)
    else:
        for number, (fit, history) in enumerate(zip(fits, histories, strict=True), start=1):
            history.insert(0, "member", number)
            store_logs(fit.logs, folder / "members" / str(number))
    pd.concat(histories, ignore_index=True).to_csv(folder / "history.csv", index=False)


def prove_parity(
    model: keras.Model,
    detector: Detector,
    onnx: OnnxModel,
    dataset: OpenDataset,
    on_progress: ProgressCallback = ignore_progress,
) -> JsonDict:
    """Return how far the logits and scores of the two forms are apart on 64 to 256 images of the calibration split.

    Where that split is empty, images of the training split are used. ``on_progress`` gets the stage
    'parity check', in which each image is shown to both forms.

    Raises:
        TrainingError: Further apart than ``PARITY_TOLERANCE``, or scores than ``SCORE_TOLERANCE``.
    """
    rows = dataset.split("calibration")
    n_images = max(_LEAST_PARITY_IMAGES, _PARITY_BATCHES * onnx.batch_size)
    rows = (dataset.split("train") if rows.empty else rows).iloc[:n_images]
    tally = Tally(on_progress, "parity check", 2 * len(rows))
    expected = make_logits(model)(_counted(evaluation_batches(dataset, rows, onnx.batch_size), tally, "model.keras"))
    found = onnx_outputs(onnx, dataset, rows, tally, "model.onnx")
    difference = float(np.abs(expected - found["logits"]).max())
    if not difference <= PARITY_TOLERANCE:
        raise TrainingError(
            f"expected model.onnx to answer as model.keras does to {PARITY_TOLERANCE}, got logits {difference:.3g} "
            f"apart on {len(rows)} images; the export of this backbone is not faithful: choose another backbone",
            max_abs_difference=difference,
        )
    proof = {"max_abs_difference": difference, "n_images": len(rows), "tolerance": PARITY_TOLERANCE}
    return proof | _prove_scores(detector, found[SCORE], dataset, rows)


def _prove_scores(detector: Detector, found: np.ndarray, dataset: OpenDataset, rows: pd.DataFrame) -> JsonDict:
    starts = range(0, len(rows), _BATCH)
    expected = np.concatenate(
        [detector.scores(dataset.pixels(rows.iloc[start : start + _BATCH])) for start in starts]
    )
    difference = float((np.abs(expected - found) / np.maximum(expected, 1)).max())
    if not difference <= SCORE_TOLERANCE:
        raise TrainingError(
            f"expected out-of-distribution scores of model.onnx that agree with the network they are from to "
            f"{SCORE_TOLERANCE:.1%}, got {difference:.1%} on {len(rows)} images; the export is not faithful: install "
            "the packages of the lock file",
            max_relative_difference=difference,
        )
    return {"score_max_relative_difference": difference, "score_tolerance": SCORE_TOLERANCE}


def _counted(batches: Iterable[dict[str, np.ndarray]], tally: Tally, message: str) -> Iterator[dict[str, np.ndarray]]:
    tally.tell(message)
    for inputs in batches:
        yield inputs
        tally.add(len(inputs["image"]), message)


def describe_provenance(dataset: OpenDataset, made: Making) -> JsonDict:
    """Return what the model was made from, and what that asks of whoever uses it.

    A model that was fine-tuned from another, or taught by one, answers for that one's images too, and for those it
    came from in turn: its licence is the most restrictive of them all, and all of them are credited.
    """
    base, lesson = made.base, made.lesson
    parents = [folder.provenance for folder in (base, lesson.teacher if lesson else None) if folder is not None]
    ref, rows = dataset.ref, dataset.split("train")
    counts = class_counts(rows["class_index"].to_numpy())
    licences = {ref.licence, *(each.licence for each in parents)}
    return {
        "dataset": ref.model_dump(mode="json"),
        "licence": max(licences, key=LICENCE_ORDER.index),
        "attributions": sorted(_credits(dataset).union(*(each.attributions for each in parents))),
        "synthetic": ref.synthetic or any(each.synthetic for each in parents),
        "fold": made.fold,
        "n_images": {split: len(dataset.split(split)) for split in SPLITS},
        "n_train_images": len(rows),
        "class_counts": {str(label): int(n) for label, n in zip(CLASS_ORDER, counts, strict=True)},
        "absent_classes": absent_classes(rows),
        "start_from": base.model_id if base else None,
        "teacher": lesson.teacher.model_id if lesson else None,
        "teacher_sha256": lesson.teacher_sha256 if lesson else None,
        "distillation": lesson.settings.model_dump(mode="json") if lesson else None,
    }


def _credits(dataset: OpenDataset) -> set[str]:
    """Return whom to credit for the images that the model was fitted, chosen and calibrated on."""
    manifest = read_frame(dataset.folder / "manifest.parquet", columns=["isic_id", "attribution"])
    used = dataset.rows[dataset.rows["split"].isin(("train", "validation", "calibration"))]
    return set(manifest.loc[manifest["isic_id"].isin(used["isic_id"]), "attribution"].dropna())


def _write_json(path: Path, value: JsonDict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
