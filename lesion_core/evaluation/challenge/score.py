"""A report's predictions as a submission to the ISIC 2019 challenge, and what a submission scores.

Two numbers are kept apart. In **nine classes** every image counts, with UNK as a class of its own: the challenge's
own number. A model that never answers UNK has a sensitivity of 0 there, so that it reaches 8/9 at most. In **eight
classes** the images of UNK are left out and the column UNK is passed over. The two must not be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesion_core.errors import DataError
from lesion_core.evaluation.challenge.files import EIGHT, NINE, UNKNOWN, GroundTruth, Submission
from lesion_core.isic.mirror.tables import some
from lesion_core.labels import FURTHER_CLASSES
from lesion_core.statistics.challenge_score import ChallengeScore, challenge_score


@dataclass(frozen=True, slots=True)
class ChallengeScores:
    """What a submission scores.

    Attributes:
        eight: Images of the eight classes alone, by their eight columns as they stand.
        nine: All images, by all columns, as the organisers' program has it; ``None`` where the ground truth has no
            column UNK.
        answers_unknown: Whether any scored image has a probability of UNK above 0.
        n_unscored: Images of the ground truth that the submission does not name.
    """

    eight: ChallengeScore
    nine: ChallengeScore | None
    answers_unknown: bool
    n_unscored: int


def submission_table(
    predictions: pd.DataFrame,
    *,
    unknown: Mapping[str, float] | None = None,
    names: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return a submission: image str and float32 probabilities under ``NINE``, sorted by image; rows sum to 1.

    UNK gets what the model gives to classes that the challenge does not have, which is 0 for the usual eight. With
    ``unknown`` it gets u more, and all that the model gives is multiplied by 1 - u.

    Args:
        predictions: As ``report.read_predictions`` returns them.
        unknown: Probability u by image id that it is none of the classes, 0 to 1; 1 for an image that is flagged.
        names: How to write the images, by id; ``None``: their ids.

    Raises:
        DataError: ``unknown`` or ``names`` lacks an image.
    """
    ids = predictions["isic_id"].astype(str)
    given = predictions[[f"p_{name}" for name in EIGHT]].to_numpy(np.float64)
    further = predictions[[f"p_{name}" for name in FURTHER_CLASSES]].to_numpy(np.float64).sum(axis=1)
    u = np.zeros(len(ids)) if unknown is None else np.array(_by_id(ids, unknown, "a probability of UNK"), np.float64)
    probs = np.column_stack([given * (1 - u)[:, None], u + (1 - u) * further])
    images = list(ids) if names is None else _by_id(ids, names, "a row in the ground truth")
    table = pd.DataFrame(probs.astype(np.float32), columns=list(NINE))
    table.insert(0, "image", images)
    return table.sort_values("image", ignore_index=True)


def score_submission(submission: Submission, truth: GroundTruth, *, subset: bool = False) -> ChallengeScores:
    """Return what a submission scores in eight and in nine classes.

    Args:
        submission: Probabilities.
        truth: Official classes.
        subset: Whether the submission may lack images of the ground truth, which are then left out.

    Raises:
        DataError: One file has images that the other lacks, or a column UNK is missing.
    """
    place = _places(submission, truth, subset)
    classes, weights, probs = truth.truth[place], truth.weights[place], submission.probs
    if truth.has_unknown and not submission.has_unknown:
        raise DataError(
            f"expected a column {UNKNOWN} in {submission.path}, as {truth.path} has one, got none; add it, with 0.0 "
            "in each row where the model does not know that class"
        )
    is_one_of_eight = classes < len(EIGHT)
    return ChallengeScores(
        eight=challenge_score(
            classes[is_one_of_eight], probs[is_one_of_eight, : len(EIGHT)], EIGHT, weights[is_one_of_eight]
        ),
        nine=challenge_score(classes, probs, NINE, weights) if truth.has_unknown else None,
        answers_unknown=bool((probs[:, -1] > 0).any()),
        n_unscored=len(truth.names) - len(place),
    )


def _places(submission: Submission, truth: GroundTruth, subset: bool) -> np.ndarray:
    """Return the row in the ground truth of each row of the submission, int64 (n,)."""
    row_of = {isic_id: row for row, isic_id in enumerate(truth.names)}
    if extra := [isic_id for isic_id in submission.ids if isic_id not in row_of]:
        raise DataError(
            f"expected images of {truth.path} alone in {submission.path}, got {some(extra)}, which have no ground "
            "truth; remove their rows, or take the ground truth of their set"
        )
    submitted = set(submission.ids)
    if not subset and (missing := [isic_id for isic_id in row_of if isic_id not in submitted]):
        raise DataError(
            f"expected a prediction for each of the {len(row_of):,} images of {truth.path}, got none in "
            f"{submission.path} for {len(missing):,}: {some(missing)}; predict them, or score what is there with "
            "--subset, which is then no score of the challenge"
        )
    return np.array([row_of[isic_id] for isic_id in submission.ids], np.int64)


def _by_id(ids: pd.Series, values: Mapping[str, object], what: str) -> list[object]:
    if missing := [isic_id for isic_id in ids if isic_id not in values]:
        raise DataError(
            f"expected {what} for each of the {len(ids):,} predicted images, got none for {len(missing):,}: "
            f"{some(missing)}; add their rows to the table, or take the table of their set"
        )
    return [values[isic_id] for isic_id in ids]
