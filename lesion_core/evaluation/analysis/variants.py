"""The same images predicted again, changed: batch by batch, each batch's pixels read once."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lesion_core.errors import DataError
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import N_CLASSES
from lesion_core.progress import ProgressCallback, Tally, ignore_progress

Metadata = dict[str, np.ndarray]
# Pixels uint8 (n, s, s, 3) and metadata (n,) each to probabilities (n, k).
Predict = Callable[[np.ndarray, Metadata], np.ndarray]
# Rows of a dataset to their pixels, uint8 (n, s, s, 3).
Pixels = Callable[[pd.DataFrame], np.ndarray]
# Pixels, metadata and ids of a batch to what is predicted in its place.
Variant = Callable[[np.ndarray, Metadata, Sequence[str]], tuple[np.ndarray, Metadata]]

_AT_A_TIME = 32


def predict_variants(
    rows: pd.DataFrame,
    variants: Mapping[str, Variant],
    *,
    predict: Predict,
    pixels: Pixels,
    stage: str,
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, np.ndarray]:
    """Return the probabilities of every row under every variant, float64 (n, k) by the variant's name.

    Args:
        rows: Of a dataset, with ``isic_id`` and the metadata inputs.
        variants: By name.
        predict: The model.
        pixels: Where pixels come from.
        stage: Name of the progress.
        on_progress: Hears of each batch of each variant.

    Raises:
        DataError: The model does not answer each image with finite probabilities of all classes.
    """
    parts: dict[str, list[np.ndarray]] = {name: [np.empty((0, N_CLASSES))] for name in variants}
    tally = Tally(on_progress, stage, len(rows) * len(variants))
    for start in range(0, len(rows), _AT_A_TIME):
        part = rows.iloc[start : start + _AT_A_TIME]
        images, ids = pixels(part), part["isic_id"].astype(str).tolist()
        for name, change in variants.items():
            parts[name].append(_checked(predict(*change(images, metadata_inputs(part), ids)), len(part), name))
            tally.add(len(part), name)
    return {name: np.concatenate(found) for name, found in parts.items()}


def _checked(probs: np.ndarray, n: int, name: str) -> np.ndarray:
    found = np.asarray(probs, np.float64)
    if found.shape != (n, N_CLASSES) or not np.isfinite(found).all():
        raise DataError(
            f"expected finite probabilities of shape ({n}, {N_CLASSES}) under {name!r}, got shape {found.shape}; "
            "check the model"
        )
    return found
