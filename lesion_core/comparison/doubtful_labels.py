"""Labels that a cross-validation doubts: what the models of the best recipe say of images that they did not see."""

from collections.abc import Mapping

import pandas as pd

from lesion_core.comparison.spec import ComparisonJob
from lesion_core.evaluation.cases.label_noise import LabelSuspect, find_label_suspects

COLUMNS = (*LabelSuspect.model_fields,)


def find_doubtful_labels(job: ComparisonJob, recipe: str, predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the suspects of confident learning (``label_noise``), lowest self-confidence first; may be none.

    Each image is answered by the model of its own fold, so that all images of the folds are looked at, and by one
    seed of the recipe: the first that was measured.

    Args:
        job: What was compared.
        recipe: Whose answers count.
        predictions: By the report's id, as ``report.read_predictions`` returns them.

    Returns:
        One row per suspect, with the fields of ``LabelSuspect`` as columns.
    """
    of_fold: dict[int | None, pd.DataFrame] = {}
    for outcome in job.outcomes:
        if outcome.report is not None and outcome.run.recipe.name == recipe:
            of_fold.setdefault(outcome.run.fold, predictions[outcome.report.id])
    tables = [table if fold is None else table.assign(fold=fold) for fold, table in of_fold.items()]
    found = find_label_suspects(pd.concat(tables, ignore_index=True))
    return pd.DataFrame([one.model_dump(mode="json") for one in found.suspects], columns=list(COLUMNS))
