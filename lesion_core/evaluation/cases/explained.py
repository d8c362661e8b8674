"""Images with their maps: what the checks of explanations look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesion_core.dataset.model_images import ModelImages
from lesion_core.errors import DataError
from lesion_core.evaluation.cases.facts import fact_of, patient_of
from lesion_core.labels import CLASS_ORDER
from lesion_core.serving.predictor import MapKind, Predictor, explain_answer
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.types import PatientMetadata

MOST_IMAGES = 64


@dataclass(frozen=True, slots=True)
class Explained:
    """Images and the maps of their predicted classes.

    Attributes:
        pixels: uint8 (n, s, s, 3), as the model sees them.
        patients: What is known of each.
        groups: str (n,).
        target: int (n,), the predicted class of each.
        maps: float32 (n, h, w), of that class, as ``serving.predictor.Answer`` has them.
        map_kind: How they were made.
    """

    pixels: np.ndarray
    patients: tuple[PatientMetadata, ...]
    groups: np.ndarray
    target: np.ndarray
    maps: np.ndarray
    map_kind: MapKind


def choose_rows(rows: pd.DataFrame, *, most: int = MOST_IMAGES, seed: int = 7) -> pd.DataFrame:
    """Return at most ``most`` rows, one of a group, the classes in turn, so that rare ones are there.

    Args:
        rows: isic_id, group and class_index.
        most: Images in all.
        seed: Same seed and rows, same choice.
    """
    drawn = rows.sort_values("isic_id").sample(frac=1, random_state=seed).drop_duplicates("group")
    turn = drawn.groupby("class_index").cumcount()
    order = np.lexsort([drawn["class_index"], turn])
    return drawn.iloc[order[:most]].reset_index(drop=True)


def explain_rows(predictor: Predictor, images: ModelImages, rows: pd.DataFrame, facts: pd.DataFrame) -> Explained:
    """Return rows of a dataset, at least one, with their maps; ``facts`` as ``facts.read_facts`` returns it."""
    patients = [patient_of(fact_of(facts, one)) for one in rows["isic_id"]]
    return explain(predictor, images.pixels(rows), patients, rows["group"].astype(str).to_numpy(dtype=str))


def explain(
    predictor: Predictor, pixels: np.ndarray, patients: Sequence[PatientMetadata], groups: np.ndarray
) -> Explained:
    """Return images with the maps of the classes that the model predicts.

    Args:
        predictor: The model.
        pixels: uint8 (n, s, s, 3), preprocessed for it, n at least 1.
        patients: What is known of each.
        groups: str (n,).

    Raises:
        DataError: There are no images, or lengths differ.
        InputRejected: The model gives no numbers for one of them.
    """
    if not len(pixels) or len({len(pixels), len(patients), len(groups)}) != 1:
        raise DataError(
            f"expected at least one image, each with a patient and a group, got {len(pixels)} images, "
            f"{len(patients)} patients and {len(groups)} groups"
        )
    answers = [explain_answer(predictor, one, patient) for one, patient in zip(pixels, patients, strict=True)]
    target = np.array([CLASS_ORDER.index(answer.classes[0].diagnosis) for answer in answers])
    maps = np.stack([answer.maps[..., place] for answer, place in zip(answers, target, strict=True)])
    return Explained(pixels, tuple(patients), np.asarray(groups), target, maps, answers[0].map_kind)


def maps_of(predictor: Predictor, explained: Explained) -> np.ndarray:
    """Return another model's maps of the same images and the same classes, float32 (n, h, w)."""
    pairs = zip(explained.pixels, explained.patients, explained.target, strict=True)
    return np.stack([explain_answer(predictor, one, patient).maps[..., place] for one, patient, place in pairs])


def mean_of(values: np.ndarray, groups: np.ndarray, *, n_bootstrap: int, seed: int) -> Estimate:
    """Return the mean over images with its interval from resampling groups; none below 50 groups.

    Args:
        values: float (n,); without any, the mean is not known.
        groups: str (n,).
        n_bootstrap: Resamples.
        seed: Same seed, same interval.
    """
    return GroupMeans(np.zeros(len(values), np.int64), groups, n_bootstrap, seed).mean(values)


def is_above(estimate: Estimate, limit: float) -> bool | None:
    """Return whether the whole interval lies above ``limit``; ``None`` where there is no interval."""
    return None if estimate.low is None else estimate.low > limit
