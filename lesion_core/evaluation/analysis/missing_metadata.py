"""What metadata is worth to a model: the same images with each field unknown, and with all of them.

All fields unknown is the image-only answer of the same model. Everything is paired: the same images, the same groups
drawn (``statistics.paired``). A field is made unknown as it is for an image that never had a value: NaN of a number,
code 0 of a word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesion_core.errors import DataError
from lesion_core.evaluation.analysis.results import MissingField, MissingMetadata
from lesion_core.evaluation.analysis.variants import Metadata, Pixels, Predict, Variant, predict_variants
from lesion_core.evaluation.measurement import Scored
from lesion_core.fields.columns import metadata_inputs
from lesion_core.fields.kinds import AnyField, CategoryField
from lesion_core.fields.table import FIELDS
from lesion_core.labels import UNKNOWN_CODE
from lesion_core.progress import ProgressCallback, ignore_progress
from lesion_core.statistics.calibration import bring_to_shares
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.metrics import log_loss_terms
from lesion_core.statistics.paired import Difference, paired_difference

_ALL = "all"


@dataclass(frozen=True, slots=True)
class _Resampling:
    n_bootstrap: int
    seed: int

    def asked(self) -> Mapping[str, int]:
        return {"n_bootstrap": self.n_bootstrap, "seed": self.seed}


def measure_missing_metadata(
    scored: Scored,
    rows: pd.DataFrame,
    *,
    predict: Predict,
    pixels: Pixels,
    n_bootstrap: int = 1000,
    seed: int = 7,
    on_progress: ProgressCallback = ignore_progress,
) -> MissingMetadata:
    """Predict images without their metadata and compare with what was predicted with it.

    Args:
        scored: Truth, probabilities with the metadata as it is, groups and class prior of ``rows``.
        rows: Rows of the dataset's splits table, in the order of ``scored``.
        predict: The model: pixels and metadata to probabilities for the same class prior.
        pixels: Rows to pixels.
        n_bootstrap: Resamples.
        seed: Same seed, same intervals.
        on_progress: Hears of each batch, stage 'missing metadata'.

    Raises:
        DataError: As many rows as images were expected, or the model answers something else than probabilities.
    """
    if len(rows) != len(scored.class_index):
        raise DataError(f"expected the rows of {len(scored.class_index)} scored images, got {len(rows)}")
    sets: dict[str, Sequence[AnyField]] = {**{field.noun: (field,) for field in FIELDS}, _ALL: FIELDS}
    is_known = {name: _has_any(rows, fields) for name, fields in sets.items()}
    asked = is_known[_ALL]  # an image without any metadata has nothing to lose
    answers = predict_variants(
        rows[asked],
        {name: _without(fields) for name, fields in sets.items()},
        predict=predict,
        pixels=pixels,
        stage="missing metadata",
        on_progress=on_progress,
    )
    resampling = _Resampling(n_bootstrap, seed)
    return MissingMetadata(
        n_images=len(rows),
        n_groups=len(np.unique(scored.groups)),
        fields=tuple(
            _compare(scored, fields, is_known[name], _placed(scored.probs, asked, answers[name]), resampling)
            for name, fields in sets.items()
        ),
    )


def _has_any(rows: pd.DataFrame, fields: Sequence[AnyField]) -> np.ndarray:
    """Return which rows have a value of any of the fields, bool (n,)."""
    inputs = metadata_inputs(rows)
    has = [
        inputs[field.input] != UNKNOWN_CODE if isinstance(field, CategoryField) else ~np.isnan(inputs[field.input])
        for field in fields
    ]
    return np.asarray(np.any(has, axis=0))


def _without(fields: Sequence[AnyField]) -> Variant:
    def forget(images: np.ndarray, metadata: Metadata, ids: Sequence[str]) -> tuple[np.ndarray, Metadata]:
        unknown = {field.input: np.full_like(metadata[field.input], field.encode(None)) for field in fields}
        return images, {**metadata, **unknown}

    return forget


def _placed(probs: np.ndarray, asked: np.ndarray, answers: np.ndarray) -> np.ndarray:
    found = np.array(probs, np.float64)
    found[asked] = answers
    return found


def _compare(
    scored: Scored, fields: Sequence[AnyField], is_known: np.ndarray, unknown: np.ndarray, resampling: _Resampling
) -> MissingField:
    true, known_class, unknown_class = scored.class_index, scored.probs.argmax(axis=1), unknown.argmax(axis=1)
    paired = paired_difference(true, known_class, unknown_class, scored.groups, **resampling.asked())
    with_it = log_loss_terms(true, scored.calibrated)
    without = log_loss_terms(true, bring_to_shares(unknown, scored.class_prior, scored.class_shares))
    means = GroupMeans(true, scored.groups, **resampling.asked())
    return MissingField(
        unknown=tuple(field.noun for field in fields),
        is_all=len(fields) == len(FIELDS),
        n_images_known=int(is_known.sum()),
        balanced_accuracy=paired.balanced_accuracy,
        malignant_sensitivity=paired.malignant_sensitivity,
        log_loss=Difference(
            candidate=float(with_it.mean()), reference=float(without.mean()), difference=means.mean(with_it - without)
        ),
        flips=means.share(known_class != unknown_class),
    )
