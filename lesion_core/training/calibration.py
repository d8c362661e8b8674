"""What the calibration split decides: the temperature, the operating points and the conformal sets of a model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesion_core.dataset.records import OpenDataset
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import CLASS_ORDER
from lesion_core.modeling.network.out_of_distribution import SCORE
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.recipes.class_shares import class_counts, prior_of_logits
from lesion_core.recipes.recipe import Recipe
from lesion_core.serving.model_folder import (
    CALIBRATION_IMAGES_NAME,
    CALIBRATION_NAME,
    CONFORMAL_NAME,
    OPERATING_POINTS_NAME,
    CalibrationImages,
)
from lesion_core.serving.predictor import OnnxModel
from lesion_core.statistics.calibration import apply_temperature, fit_temperature
from lesion_core.statistics.guarantees.conformal import fit_conformal
from lesion_core.statistics.guarantees.operating_points import choose_operating_points
from lesion_core.types import Value


def calibrate(
    onnx: OnnxModel, dataset: OpenDataset, recipe: Recipe, on_progress: ProgressCallback = ignore_progress
) -> Mapping[str, Value]:
    """Fit on the calibration split, on the very logits that will be served; return each file's content by its name.

    The temperature is fitted in the population whose class shares the recipe's training leaves in the logits.
    Operating points and conformal sets are of the probabilities at that temperature. ``on_progress`` gets the stage
    'calibration', image by image.
    """
    rows = dataset.split("calibration")
    tally = Tally(on_progress, "calibration", len(rows))
    logits = onnx_logits(onnx, dataset, rows, tally, "images scored")
    true, groups = rows["class_index"].to_numpy(np.int64), rows["group"].astype(str).to_numpy(dtype=str)
    counts = class_counts(dataset.split("train")["class_index"].to_numpy())
    calibration = fit_temperature(logits, true, prior_of_logits(counts, recipe.imbalance))
    probs = apply_temperature(logits, calibration.temperature)
    return {
        CALIBRATION_IMAGES_NAME: CalibrationImages(isic_ids=tuple(sorted(rows["isic_id"].astype(str)))),
        CALIBRATION_NAME: calibration,
        OPERATING_POINTS_NAME: choose_operating_points(true, probs, groups, seed=recipe.seed),
        CONFORMAL_NAME: fit_conformal(true, probs, groups, seed=recipe.seed),
    }


def onnx_logits(onnx: OnnxModel, dataset: OpenDataset, rows: pd.DataFrame, tally: Tally, message: str) -> np.ndarray:
    """Return the served model's logits, float32 (n, k); ``tally`` counts the images."""
    return onnx_outputs(onnx, dataset, rows, tally, message).get(
        "logits", np.zeros((0, len(CLASS_ORDER)), np.float32)
    )


def onnx_outputs(
    onnx: OnnxModel, dataset: OpenDataset, rows: pd.DataFrame, tally: Tally, message: str
) -> dict[str, np.ndarray]:
    """Return logits, and scores where the file has them, of every row; nothing without rows."""
    tally.tell(message)
    kept = [name for name in ("logits", SCORE) if name in onnx.output_names]
    parts = []
    for start in range(0, len(rows), onnx.batch_size):
        part = rows.iloc[start : start + onnx.batch_size]
        found = onnx.run(dataset.pixels(part), metadata_inputs(part))
        parts.append({name: found[name] for name in kept})
        tally.add(len(part), message)
    return {name: np.concatenate([part[name] for part in parts]) for name in kept} if parts else {}
