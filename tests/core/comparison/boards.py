"""Comparisons with chosen answers: models of a stated skill, without any model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesion_core.comparison.leaderboard import Training
from lesion_core.comparison.spec import CompareRequest, ComparisonJob, Outcome, Run
from lesion_core.evaluation.predictions import table_of_predictions
from lesion_core.labels import N_CLASSES
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.statistics.calibration import FLAT
from tests.core.evaluation.strategies import make_scores

DATASET = DatasetRef(
    id="made/00000000000d", key="datasets/made/00000000000d", sha256="d" * 64, n_images=600, n_groups=300, size_px=64,
    licence="CC-0", synthetic=True,
)  # fmt: skip
Made = tuple[ComparisonJob, dict[str, pd.DataFrame], dict[str, Training], dict[str, np.ndarray]]


def make_job(
    *,
    skills: dict[str, float],
    folds: Sequence[int] = (0, 1),
    seeds: Sequence[int] = (1,),
    n: int = 160,
    **asked: object,
) -> Made:
    """Return a job, and as the child reads them: predictions by report, trainings by model, class priors by report.

    Args:
        skills: By recipe, what is added to the true class's logit.
        folds: Each has ``n`` images of its own, two in a group.
        seeds: One run each.
        n: Images of a fold.
        asked: Fields of the request.
    """
    outcomes, predictions, trainings, priors = [], {}, {}, {}
    for number, (recipe, fold, seed) in enumerate(
        (recipe, fold, seed) for recipe in skills for fold in folds for seed in seeds
    ):
        run = Run(recipe=make_recipe(recipe, seed), dataset=DATASET, fold=fold)
        model = make_model(run, number)
        report = make_report(model, number)
        true, _ = make_scores(100 + fold, n)
        random = np.random.default_rng([number, 5])
        logits = random.normal(size=(n, N_CLASSES))
        logits[np.arange(n), true] += skills[recipe]
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        predictions[report.id] = table_of_predictions(_rows(fold, true), probs)
        priors[report.id] = FLAT
        scores = np.linspace(0.2, 0.2 + 0.2 * skills[recipe], 5 + number % 2)
        trainings[model.id] = Training(seconds=60.0 + fold, n_epochs=5, n_parameters=1000, validation=tuple(scores))
        outcomes.append(Outcome(run=run, model=model, report=report))
    request = CompareRequest.model_validate(
        {"name": "made-up", "recipes": list(skills), "folds": folds, "n_bootstrap": 200, **asked}
    )
    return ComparisonJob(request=request, outcomes=tuple(outcomes)), predictions, trainings, priors


def make_recipe(name: str, seed: int = 7) -> Recipe:
    return Recipe(name=name, backbone="tiny", weights="none", size_px=64, seed=seed)


def make_model(run: Run, number: int) -> ModelRef:
    key = f"{run.recipe.name}/{number:012x}"
    return ModelRef(
        id=key, key=f"models/{key}", sha256=f"{number:064x}", recipe=run.recipe.name, dataset=run.dataset,
        fold=run.fold, synthetic=True,
    )  # fmt: skip


def make_report(model: ModelRef, number: int) -> ReportRef:
    key = f"{model.id.replace('/', '-')}/{number:012x}"
    return ReportRef(
        id=key, key=f"reports/{key}", sha256=f"{number + 1000:064x}", model=model, dataset=model.dataset,
        split="calibration", balanced_accuracy=0.5, balanced_accuracy_low=0.4, balanced_accuracy_high=0.6,
        chance=0.125, n_images=10,
    )  # fmt: skip


def _rows(fold: int, true: np.ndarray) -> pd.DataFrame:
    number = np.arange(len(true)) + 100_000 * fold
    return pd.DataFrame(
        {
            "isic_id": [f"ISIC_{each:07d}" for each in number],
            "group": [f"g{each // 2:07d}" for each in number],
            "class_index": true.astype(np.int8),
        }
    )
