"""What the served model says about every image of a split, as pixels go in and as tables come out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesion_core.dataset.model_images import ModelImages, read_files
from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactNotFound, DataError, LeakageError
from lesion_core.evaluation.report import PROBABILITY_COLUMNS
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import CLASS_ORDER, MALIGNANT
from lesion_core.lineage.exposure import MADE_FROM, lineage_of, read_image_list
from lesion_core.progress import Progress, ProgressCallback
from lesion_core.refs import ModelRef
from lesion_core.serving.model_folder import ModelFolder
from lesion_core.serving.predictor import Predictor
from lesion_core.stores.protocol import Store

_AT_A_TIME = 32  # as many as the predictor takes at once, so that a slow network tells how far it is
_MALIGNANT = [CLASS_ORDER.index(name) for name in MALIGNANT]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says about n images.

    Attributes:
        probs: float32 (n, k), as served.
        embeddings: float32 (n, d).
        ood_scores: float32 (n,), how unlike the training images each is; ``None``: the model gives none.
    """

    probs: np.ndarray
    embeddings: np.ndarray
    ood_scores: np.ndarray | None


def predict_rows(
    predictor: Predictor, images: ModelImages, rows: pd.DataFrame, on_progress: ProgressCallback
) -> Answers:
    """Return the served answers about every row, at least one."""
    parts = []
    for start in range(0, len(rows), _AT_A_TIME):
        part = rows.iloc[start : start + _AT_A_TIME]
        parts.append(predictor.predict(images.pixels(part), metadata_inputs(part)))
        done = start + len(part)
        on_progress(Progress(stage="predict", done=done, total=len(rows), message="images predicted"))
    scores = [part.ood_score for part in parts if part.ood_score is not None]
    return Answers(
        probs=np.concatenate([part.probs for part in parts]),
        embeddings=np.concatenate([part.embedding for part in parts]).astype(np.float32),
        ood_scores=np.concatenate(scores) if scores else None,
    )


def count_seen(store: Store, model: ModelRef, dataset: OpenDataset, rows: pd.DataFrame) -> int:
    """Return how many of ``rows`` the model was made from, by id or by identical bytes.

    What it was trained, chosen or calibrated on counts, and so does what the models that it started from were.

    Args:
        store: Where datasets and models lie.
        model: Which model.
        dataset: Where ``rows`` are from.
        rows: Of one split: of the model's fold where it has one, else of the dataset's own.

    Raises:
        ArtifactNotFound: A dataset or a model that went into it is no longer in the store, nor the list of its
            images, so that nobody can tell.
    """
    files = read_files(dataset.folder).loc[rows["isic_id"]]
    lineage, unknown = lineage_of(store, model)
    if unknown:
        raise ArtifactNotFound(
            f"expected the models that {model.id} started from, to tell which images it has seen, found no "
            f"{', '.join(unknown)}; restore them, or train from other weights",
            key=f"models/{unknown[0]}",
        )
    seen = np.zeros(len(files), bool)
    for made_from in lineage:
        # Within the very same splits the certificate excludes it.
        if (made_from.dataset.sha256, made_from.fold) != (dataset.ref.sha256, model.fold):
            members = read_image_list(store, made_from.dataset, fold=made_from.fold)
            used = members[members["split"].isin(MADE_FROM)]
            seen |= files.index.isin(used["isic_id"]) | files["sha256"].isin(used["sha256"]).to_numpy()
    return int(seen.sum())


def with_splits_of(model: ModelRef, dataset: OpenDataset) -> OpenDataset:
    """Return the dataset with the splits that a model is measured on: those of its fold, where it has one.

    Raises:
        LeakageError: The model left out a fold of another dataset. What a fold holds is known for the dataset that it
            was trained on only: in another one, images of its training may be test images.
    """
    if model.fold is None:
        return dataset
    if model.dataset.sha256 != dataset.ref.sha256:
        raise LeakageError(
            f"expected {model.dataset.id}, which model {model.id} was trained on without fold {model.fold}, got "
            f"dataset {dataset.ref.id}; measure a cross-validation's model on its own dataset only",
            model=model.id,
            fold=model.fold,
        )
    return dataset.for_fold(model.fold)


def check_not_calibrated_on(folder: ModelFolder, rows: pd.DataFrame, split: str) -> None:
    """Refuse to measure a model on images of its own dataset that its temperature and thresholds were fitted on.

    The split 'calibration' may be asked for: whoever does compares models by what no temperature changes. Images
    of another dataset are not refused but counted (``count_seen``).

    Raises:
        LeakageError: Some of ``rows`` are calibration images of the model.
    """
    held = sorted((folder.calibration_images or frozenset()).intersection(rows["isic_id"]))
    if split != "calibration" and held:
        raise LeakageError(
            f"expected {split} images that model {folder.model_id} was not calibrated on, got {len(held):,} of "
            f"{len(rows):,} that decided its temperature and thresholds, such as {held[0]}; its probabilities, "
            "operating points and sets would look better than they are: calibrate it on other images",
            model=folder.model_id,
            n_images=len(held),
        )


def rows_to_evaluate(dataset: OpenDataset, split: str) -> pd.DataFrame:
    """Return the rows of a split.

    Raises:
        DataError: The split has no images, or an image twice.
    """
    rows = dataset.split(split)
    twice = rows.loc[rows["isic_id"].duplicated(), "isic_id"]
    if len(twice):
        raise DataError(
            f"expected every image once in the {split} split of dataset {dataset.ref.id!r}, got {len(twice)} again, "
            f"such as {twice.iloc[0]}; it would count twice: prepare the dataset again",
            split=split,
        )
    if rows.empty:
        raise DataError(
            f"expected images in the {split} split of dataset {dataset.ref.id!r}, found none among its "
            f"{len(dataset.rows)}; take more images, or a larger share for this split",
            split=split,
        )
    return rows


def table_of_predictions(rows: pd.DataFrame, probs: np.ndarray, ood_scores: np.ndarray | None = None) -> pd.DataFrame:
    """Return the table that ``read_predictions`` reads.

    Args:
        rows: isic_id, group and class_index of each image.
        probs: float (n, k), in the same order.
        ood_scores: float (n,), likewise; ``None``: the table has no such column.
    """
    predicted = probs.argmax(axis=1).astype(np.int8)
    table = pd.DataFrame(
        {
            "isic_id": rows["isic_id"].astype(str).to_numpy(),
            "group": rows["group"].astype(str).to_numpy(),
            "class_index": rows["class_index"].to_numpy(np.int8),
            "predicted_index": predicted,
            "correct": predicted == rows["class_index"].to_numpy(np.int8),
            **{name: probs[:, place].astype(np.float32) for place, name in enumerate(PROBABILITY_COLUMNS)},
            **({} if ood_scores is None else {"ood_score": ood_scores.astype(np.float32)}),
        }
    )
    return table.sort_values("isic_id", ignore_index=True)


def table_of_mistakes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the misclassified images with class names and probabilities: missed cancers first, surest first."""
    wrong = predictions[~predictions["correct"]]
    names = np.array([str(name) for name in CLASS_ORDER])
    probs = wrong[list(PROBABILITY_COLUMNS)].to_numpy(np.float64)
    place = np.arange(len(wrong))
    true, predicted = wrong["class_index"].to_numpy(np.int64), wrong["predicted_index"].to_numpy(np.int64)
    table = pd.DataFrame(
        {
            "isic_id": wrong["isic_id"].to_numpy(),
            "true": names[true],
            "predicted": names[predicted],
            "missed_malignant": np.isin(true, _MALIGNANT) & ~np.isin(predicted, _MALIGNANT),
            "p_of_predicted": probs[place, predicted].round(4),
            "p_of_true": probs[place, true].round(4),
            **{name: probs[:, number].round(4) for number, name in enumerate(PROBABILITY_COLUMNS)},
        }
    )
    return table.sort_values(
        ["missed_malignant", "p_of_predicted", "isic_id"], ascending=[False, False, True], ignore_index=True
    )
