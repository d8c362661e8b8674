"""The case table: every image of a split with its answer and what is known of it, the worst mistakes first."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

from lesion_core.errors import DataError
from lesion_core.evaluation.cases.harm import HARM_IN_WORDS, MISSED, RIGHT, harm_of
from lesion_core.evaluation.cases.neighbours import Neighbour
from lesion_core.evaluation.report import PROBABILITY_COLUMNS
from lesion_core.fields.table import FIELDS
from lesion_core.isic.statements import escaped
from lesion_core.labels import CLASS_ORDER, MALIGNANT, Diagnosis

_Found = TypeVar("_Found")
REANNOTATION_NAME = "reannotation.csv"
ANNOTATOR_COLUMNS = ("annotator", "new_diagnosis", "is_usable", "comment")
_FROM_FACTS = (*(field.name for field in FIELDS), "source", "confirm_type", "image_kind", "licence", "attribution")
_TEXTS_OF_OTHERS = ("source", "attribution")  # a spreadsheet might take one for a formula
_NAMES = np.array([str(name) for name in CLASS_ORDER])
_MALIGNANT = [CLASS_ORDER.index(name) for name in MALIGNANT]


def table_of_cases(
    predictions: pd.DataFrame,
    facts: pd.DataFrame,
    *,
    sets: Mapping[str, Collection[Diagnosis]] | None = None,
    neighbours: Mapping[str, Sequence[Neighbour]] | None = None,
) -> pd.DataFrame:
    """Return one row per image, sorted by harm, then by the probability of the answer, highest first, then by id.

    Columns: those of ``predictions.table_of_mistakes`` (isic_id, true, predicted, missed_malignant, p_of_predicted,
    p_of_true, p_MEL … p_SCC, rounded to 4 decimals), then p_malignant, harm (int, ``harm.HARM_IN_WORDS``),
    harm_in_words, group, the metadata fields, source, confirm_type, image_kind, licence, attribution, conformal_set
    ('MEL NV', NaN where no set was given) and neighbours ('ISIC_0000001 MEL 0.93; …', NaN where none were sought).

    Args:
        predictions: As ``predictions.table_of_predictions`` makes it.
        facts: As ``facts.read_facts`` returns it.
        sets: Conformal set of each image, by isic_id.
        neighbours: Nearest training images of each image, by isic_id.

    Raises:
        DataError: An image is not among the facts.
    """
    missing = ~predictions["isic_id"].isin(facts.index)
    if missing.any():
        raise DataError(
            f"expected facts of every predicted image, found none of {int(missing.sum())} "
            f"({predictions.loc[missing, 'isic_id'].iloc[0]} …); read the facts of the dataset that was predicted"
        )
    known = facts.loc[predictions["isic_id"], list(_FROM_FACTS)].reset_index(drop=True)
    for name in _TEXTS_OF_OTHERS:
        known[name] = [escaped(text) for text in known[name]]
    table = pd.concat([_answers(predictions), known], axis=1).assign(
        conformal_set=_by_id(predictions, sets, _set_in_words),
        neighbours=_by_id(predictions, neighbours, lambda found: "; ".join(one.in_words() for one in found)),
    )
    order = np.lexsort([table["isic_id"], -predictions[list(PROBABILITY_COLUMNS)].max(axis=1), table["harm"]])
    return table.iloc[order].reset_index(drop=True)


def mistakes_of(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the misclassified images of a case table, in its order and with its columns."""
    return cases[cases["harm"] != RIGHT].reset_index(drop=True)


def table_for_reannotation(cases: pd.DataFrame, label_suspects: Collection[str] = ()) -> pd.DataFrame:
    """Return what an annotator is asked to look at again: mistakes and doubtful labels, in the table's order.

    Columns: isic_id, true, predicted, probability (of the predicted class), reason, and the empty columns
    ``ANNOTATOR_COLUMNS``.

    Args:
        cases: A case table.
        label_suspects: Ids of images whose label is doubtful (``label_noise``).
    """
    doubtful = cases["isic_id"].isin(list(label_suspects))
    chosen = cases[(cases["harm"] != RIGHT) | doubtful]
    reasons = [
        "; ".join([harm] * (harm != HARM_IN_WORDS[RIGHT]) + ["the label is doubtful"] * is_doubtful)
        for harm, is_doubtful in zip(chosen["harm_in_words"], doubtful[chosen.index].tolist(), strict=True)
    ]
    asked = chosen[["isic_id", "true", "predicted"]].assign(probability=chosen["p_of_predicted"], reason=reasons)
    return asked.assign(**dict.fromkeys(ANNOTATOR_COLUMNS, "")).reset_index(drop=True)


def _answers(predictions: pd.DataFrame) -> pd.DataFrame:
    probs = predictions[list(PROBABILITY_COLUMNS)].to_numpy(np.float64)
    place = np.arange(len(probs))
    true, predicted = (predictions[name].to_numpy(np.int64) for name in ("class_index", "predicted_index"))
    harm = harm_of(true, predicted)
    return pd.DataFrame(
        {
            "isic_id": predictions["isic_id"].to_numpy(),
            "true": _NAMES[true],
            "predicted": _NAMES[predicted],
            "missed_malignant": harm <= len(MISSED),
            "p_of_predicted": probs[place, predicted].round(4),
            "p_of_true": probs[place, true].round(4),
            **{name: probs[:, number].round(4) for number, name in enumerate(PROBABILITY_COLUMNS)},
            "p_malignant": probs[:, _MALIGNANT].sum(axis=1).round(4),
            "harm": harm,
            "harm_in_words": [HARM_IN_WORDS[rank] for rank in harm.tolist()],
            "group": predictions["group"].to_numpy(),
        }
    )


def _set_in_words(classes: Collection[Diagnosis]) -> str:
    return " ".join(str(name) for name in CLASS_ORDER if name in classes)


def _by_id(
    predictions: pd.DataFrame, given: Mapping[str, _Found] | None, in_words: Callable[[_Found], str]
) -> pd.Series:
    values = [in_words(given[one]) if given and one in given else None for one in predictions["isic_id"]]
    return pd.Series(values, dtype="str")
