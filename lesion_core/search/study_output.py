"""What a study leaves: a table of its trials, the best one as a recipe file, figures."""

import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from lesion_core.errors import TrainingError
from lesion_core.figures.canvas import Subject
from lesion_core.figures.search import draw_epochs, draw_history, draw_importance, draw_parallel
from lesion_core.keys import digest_of, study_key
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import StudyRef
from lesion_core.search.proposals import opened_search
from lesion_core.search.study import StudyPlan, with_values
from lesion_core.search.study_record import StudyRecord, TrialRecord
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import publish
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference, ref_from_folder
from lesion_core.types import JsonDict

STEP_VERSION = 1
TABLE_NAME, EPOCHS_NAME, BEST_NAME, FACTS_NAME = "trials.csv", "epochs.csv", "best.yaml", "study.json"
FIGURES = (
    ("Best score so far", "figures/history.png"),
    ("Trials by epoch, pruned ones marked", "figures/epochs.png"),
    ("What the score depends on", "figures/importance.png"),
    ("Values and score of every trial", "figures/parallel.png"),
)


def publish_study(plan: StudyPlan, *, store: Store, settings: LesionSettings) -> StudyRef:
    """Write down what a study found so far; the same trials are the same folder.

    Raises:
        TrainingError: No trial is complete.
        ConfigError: The study is being run by another process.
    """
    with opened_search(plan, settings) as search:
        record, importance = search.record(), search.importance()
    best = record.best
    if best is None:
        raise TrainingError(
            f"no trial of study {plan.name} is complete ({record.in_words()}), so there is no best one; give it more "
            "trials or more time"
        )
    inputs = _inputs(plan, record)
    key = study_key(plan.recipe.name, digest_of(inputs))
    if (made := find_reference(store, StudyRef, key)) is not None:
        return made
    folder = Path(tempfile.mkdtemp(prefix="lesion-study-"))
    try:
        write_study(folder, plan, record, importance)
        index, sha256 = publish(
            store,
            key,
            folder,
            step="study",
            step_version=STEP_VERSION,
            inputs=inputs,
            summary=_summary(plan, record, best),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ref_from_folder(StudyRef, key, index, sha256)


def write_study(folder: Path, plan: StudyPlan, record: StudyRecord, importance: dict[str, float]) -> None:
    """Write every file of a study, of which at least one trial is complete, into ``folder``."""
    pd.DataFrame(record.rows()).to_csv(folder / TABLE_NAME, index=False)
    epochs = [(trial.number, *item) for trial in record.trials for item in trial.epochs.items()]
    pd.DataFrame(epochs, columns=["trial", "epoch", "selection_score"]).to_csv(folder / EPOCHS_NAME, index=False)
    facts = {"study": plan.name, "spec": plan.spec.model_dump(mode="json"), "importance": importance}
    (folder / FACTS_NAME).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder / BEST_NAME).write_text(best_as_yaml(plan, record), encoding="utf-8")
    n_epochs = max(max(trial.epochs, default=1) for trial in record.trials)
    subject = Subject(
        f"{plan.recipe.name} on {plan.dataset.id}, validation images only · {record.in_words()}",
        synthetic=plan.dataset.synthetic,
    )
    draw_history(record.trials, folder / "figures" / "history.png", subject)
    draw_epochs(record.trials, n_epochs, folder / "figures" / "epochs.png", subject)
    draw_importance(importance, folder / "figures" / "importance.png", subject)
    draw_parallel(record.trials, plan.space, folder / "figures" / "parallel.png", subject)


def best_recipe(plan: StudyPlan, record: StudyRecord) -> Recipe:
    """Return the best trial as a recipe that can be trained as it is; its description says where it comes from."""
    best, base = record.best, record.base
    assert best is not None
    where = f"dataset {plan.dataset.id}" + ("" if plan.spec.fold is None else f", fold {plan.spec.fold}")
    against = "" if base is None or base.score is None else f"; {plan.recipe.name} itself {base.score:.4f}"
    spec = plan.spec.model_dump(mode="json", exclude_defaults=True)
    description = (
        f"Trial {best.number} of the {len(record.told)} of study {plan.name}: the best values found for "
        f"{plan.recipe.name} on the validation images of {where}. Balanced accuracy there, mean of up to 3 epochs, "
        f"{best.score:.4f}{against}; chosen as the best of many, so it flatters: the test split says how good it is. "
        f"Found by: flow tune, recipe={plan.recipe.name}, study={json.dumps(spec)}."
    )
    name = f"{plan.recipe.name[:57]}-tuned"
    return with_values(plan.recipe, best.values).model_copy(update={"name": name, "description": description})


def best_as_yaml(plan: StudyPlan, record: StudyRecord) -> str:
    """Return the best recipe as a recipe file: every field written out, so later defaults do not change it."""
    content = best_recipe(plan, record).model_dump(mode="json", exclude={"search"})
    return yaml.safe_dump(content, sort_keys=False, width=110, allow_unicode=True)


def _inputs(plan: StudyPlan, record: StudyRecord) -> JsonDict:
    return {
        "study": plan.name,
        "trials": [
            {"number": trial.number, "state": trial.state, "values": trial.values, "score": trial.score}
            for trial in record.trials
        ],
        "step_version": STEP_VERSION,
    }


def _summary(plan: StudyPlan, record: StudyRecord, best: TrialRecord) -> JsonDict:
    base = record.base
    return {
        "recipe": plan.recipe.name,
        "dataset": plan.dataset.model_dump(mode="json"),
        "fold": plan.spec.fold,
        "n_trials": len(record.told),
        "n_complete": len(record.of_state("complete")),
        "n_pruned": len(record.of_state("pruned")),
        "n_failed": len(record.of_state("failed")),
        "base_score": None if base is None else base.score,
        "best_score": best.score,
        "best_trial": best.number,
    }
