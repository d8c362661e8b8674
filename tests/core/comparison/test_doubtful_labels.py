import numpy as np
import pandas as pd

from lesion_core.comparison.doubtful_labels import COLUMNS, find_doubtful_labels
from lesion_core.comparison.spec import CompareRequest, ComparisonJob, Outcome, Run
from lesion_core.evaluation.predictions import table_of_predictions
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from tests.core.comparison.boards import make_recipe
from tests.core.statistics.test_conformal import simulated

SHA256 = "0" * 64
DATASET = DatasetRef(
    id="a/0123456789ab",
    key="datasets/a/0123456789ab",
    sha256=SHA256,
    n_images=400,
    n_groups=400,
    size_px=64,
    licence="CC-0",
    synthetic=True,
)


def _outcome(recipe: str, fold: int) -> Outcome:
    model = ModelRef(
        id=f"{recipe}/{fold:012x}",
        key=f"models/{recipe}/{fold:012x}",
        sha256=SHA256,
        recipe=recipe,
        dataset=DATASET,
        fold=fold,
        synthetic=True,
    )
    report = ReportRef(
        id=f"{recipe}-{fold:012x}/0123456789ab",
        key=f"reports/{recipe}-{fold:012x}/0123456789ab",
        sha256=SHA256,
        model=model,
        dataset=DATASET,
        split="test",
        balanced_accuracy=0.5,
        balanced_accuracy_low=0.4,
        balanced_accuracy_high=0.6,
        chance=0.125,
        n_images=400,
    )
    run = Run(recipe=make_recipe(recipe), dataset=DATASET, fold=fold)
    return Outcome(run=run, model=model, report=report)


def _predictions(fold: int) -> tuple[pd.DataFrame, set[str]]:
    """Return what a model that is usually right says of 400 images, of which 20 are labelled as another class."""
    true, probs = simulated(400, fold)
    sure = probs.astype(float) ** 3
    sure /= sure.sum(axis=1, keepdims=True)
    right = np.flatnonzero((sure.argmax(axis=1) == true) & (sure.max(axis=1) > 0.9))[:20]
    labels = true.copy()
    labels[right] = (labels[right] + 3) % 8
    ids = [f"ISIC_{fold}{number:06d}" for number in range(400)]
    rows = pd.DataFrame({"isic_id": ids, "group": ids, "class_index": labels})
    return table_of_predictions(rows, sure), {ids[place] for place in right}


def test_labels_that_were_exchanged_are_found_in_every_fold_by_the_recipe_that_was_asked() -> None:
    outcomes = tuple(_outcome(recipe, fold) for recipe in ("good", "other") for fold in (0, 1))
    made = {fold: _predictions(fold) for fold in (0, 1)}
    nothing = table_of_predictions(
        pd.DataFrame({"isic_id": ["ISIC_0000000"], "group": ["a"], "class_index": [0]}), np.eye(8)[:1]
    )
    predictions = {
        each.report.id: made[each.run.fold][0] if each.run.recipe.name == "good" else nothing  # type: ignore[index,union-attr]
        for each in outcomes
    }
    request = CompareRequest(name="a", recipes=("good", "other"), folds=(0, 1), split="test")
    found = find_doubtful_labels(ComparisonJob(request=request, outcomes=outcomes), "good", predictions)
    exchanged = made[0][1] | made[1][1]
    assert tuple(found.columns) == COLUMNS
    assert set(found["fold"]) == {0, 1}
    assert len(exchanged & set(found["isic_id"])) >= 0.8 * len(exchanged)
    assert found["p_given"].is_monotonic_increasing
    none = find_doubtful_labels(ComparisonJob(request=request, outcomes=outcomes), "other", predictions)
    assert none.empty
    assert tuple(none.columns) == COLUMNS
