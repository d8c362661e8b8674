"""Simulated predictions and facts, in the form of the real tables."""

import hashlib

import numpy as np
import pandas as pd

from lesion_core.evaluation.cases.facts import FACTS
from lesion_core.evaluation.predictions import table_of_predictions
from lesion_core.labels import CLASS_ORDER, N_CLASSES


def predictions_of(true: np.ndarray, probs: np.ndarray, groups: np.ndarray | None = None) -> pd.DataFrame:
    """Return the table of predictions of images ISIC_0000000 …, each its own group where none are given."""
    groups = np.arange(len(true)) if groups is None else groups
    ids = [f"ISIC_{number:07d}" for number in range(len(true))]
    rows = pd.DataFrame({"isic_id": ids, "group": [f"g{one}" for one in groups], "class_index": true})
    return table_of_predictions(rows, probs)


def sure_of(predicted: np.ndarray, p: float | np.ndarray = 0.79) -> np.ndarray:
    """Return probabilities float (n, k): ``p`` for the predicted class, the rest shared."""
    p = np.broadcast_to(p, len(predicted))
    probs = np.repeat(((1 - p) / (N_CLASSES - 1))[:, None], N_CLASSES, axis=1)
    probs[np.arange(len(predicted)), predicted] = p
    return probs


def facts_for(predictions: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """Return facts of predicted images; ``columns`` replaces single facts."""
    facts = pd.DataFrame(
        {
            "age_years": 50.0,
            "sex": "female",
            "site": "head/neck",
            "source": "hospital a",
            "confirm_type": "histopathology",
            "image_kind": "dermoscopic",
            "licence": "CC-BY",
            "attribution": "Hospital A",
            "diagnosis": [str(CLASS_ORDER[place]) for place in predictions["class_index"]],
            "group": predictions["group"].to_numpy(),
            "sha256": [hashlib.sha256(one.encode()).hexdigest() for one in predictions["isic_id"]],
            "image_key": [f"archive/{one}" for one in predictions["isic_id"]],
        },
        index=pd.Index(predictions["isic_id"], name="isic_id"),
    )
    return facts.assign(**columns)[list(FACTS)]
