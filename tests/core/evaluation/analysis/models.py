"""Rows, pixels and models that are simple enough to know what an analysis must find."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesion_core.evaluation.measurement import Scored
from lesion_core.fields.columns import metadata_inputs
from lesion_core.labels import N_CLASSES

SIDE = 16


def make_rows(class_index: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Rows whose site says the class and nothing else does; ``place`` is where their pixels lie."""
    n, random = len(class_index), np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "isic_id": [f"ISIC_{number:07d}" for number in range(n)],
            "age_years": random.uniform(20, 80, n).astype(np.float32),
            "sex_code": random.integers(0, 3, n).astype(np.int8),
            "site_code": (class_index + 1).astype(np.int8),
            "place": np.arange(n),
        }
    )


def grey_pixels(rows: pd.DataFrame) -> np.ndarray:
    """Images of one brightness each, uint8 (n, SIDE, SIDE, 3); odd places are darker than 128, even ones lighter."""
    tone = np.where(rows["place"].to_numpy() % 2, 110, 146).astype(np.uint8)
    return np.broadcast_to(tone[:, None, None, None], (len(rows), SIDE, SIDE, 3)).copy()


def certain(class_index: np.ndarray) -> np.ndarray:
    """Probabilities of a model that is sure of a class, float64 (n, k)."""
    return 0.7 * np.eye(N_CLASSES)[class_index] + 0.3 / N_CLASSES


def constant(pixels: np.ndarray, metadata: Mapping[str, np.ndarray]) -> np.ndarray:
    return certain(np.full(len(pixels), 1))


def of_site(pixels: np.ndarray, metadata: Mapping[str, np.ndarray]) -> np.ndarray:
    """The class that the site says; nevus where it is unknown."""
    code = metadata["site_code"].astype(np.int64)
    return certain(np.where(code == 0, 1, code - 1))


def of_brightness(pixels: np.ndarray, metadata: Mapping[str, np.ndarray]) -> np.ndarray:
    """Melanoma where the image is dark, else nevus; surer the farther from the middle."""
    mean = pixels.reshape(len(pixels), -1).mean(axis=1)
    melanoma = 1 / (1 + np.exp((mean - 128) / 10))
    probs = np.full((len(pixels), N_CLASSES), 1e-6)
    probs[:, 0], probs[:, 1] = melanoma, 1 - melanoma
    return probs / probs.sum(axis=1, keepdims=True)


def scored_by(model, class_index: np.ndarray, rows: pd.DataFrame, groups: np.ndarray | None = None) -> Scored:  # type: ignore[no-untyped-def]
    """What a model says of rows as they are."""
    probs = model(grey_pixels(rows), metadata_inputs(rows))
    return Scored(class_index, probs, np.arange(len(rows)) if groups is None else groups)
