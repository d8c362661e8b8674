"""The child that compares: from the reports of many runs to one leaderboard with its figures."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesion_core import figures
from lesion_core.comparison.doubtful_labels import find_doubtful_labels
from lesion_core.comparison.leaderboard import Leaderboard, Training, make_leaderboard
from lesion_core.comparison.page import in_words, table_of, write_summary
from lesion_core.comparison.spec import (
    DOUBTFUL_NAME,
    LEADERBOARD_NAME,
    STEP,
    STEP_VERSION,
    SUMMARY_NAME,
    TABLE_NAME,
    ComparisonJob,
    ComparisonRef,
    comparison_inputs,
    comparison_key_of,
)
from lesion_core.errors import ArtifactCorrupt
from lesion_core.evaluation.rendering.gallery import HISTORY_NAME
from lesion_core.evaluation.report import read_metrics, read_predictions
from lesion_core.keys import id_of
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.statistics.estimates import Estimate
from lesion_core.stores.folders import publish, read_file
from lesion_core.stores.making import emptied, make_once
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import JsonDict, StoreKey

_PROVENANCE_NAME = "provenance.json"


def run(spec: dict[str, Any], *, store: Store, workdir: Path, on_progress: ProgressCallback) -> ComparisonRef:
    """Compare what ``spec`` (a ``ComparisonJob``) describes, or return the comparison where it was made before.

    Raises:
        DataError: No run ended with a report, or two recipes were measured on different images.
        ArtifactNotFound: A report or a model is not in the store any more.
        ArtifactCorrupt: Stored bytes are not those that were published.
        StoreError: The store could not be read or written.
    """
    job = ComparisonJob.model_validate(spec)
    key = comparison_key_of(job)
    scratch = workdir / STEP / id_of(key)
    return make_once(
        store, ComparisonRef, key, scratch, lambda: _make(job, store, key, emptied(scratch), on_progress)
    )


def _make(
    job: ComparisonJob, store: Store, key: StoreKey, folder: Path, on_progress: ProgressCallback
) -> ComparisonRef:
    done = [outcome for outcome in job.outcomes if outcome.report is not None]
    reports = [each.report for each in done if each.report]
    predictions = {report.id: read_predictions(store, report) for report in reports}
    class_priors = {report.id: _class_prior(store, report) for report in reports}
    trainings = {each.model.id: read_training(store, each.model) for each in done if each.model}
    tally = Tally(on_progress, "compare", 2)
    with tally.part(f"measuring {len(done)} runs"):
        board = make_leaderboard(job, predictions, trainings, class_priors)
    with tally.part("tables and figures"):
        _write(board, job, folder)
        doubtful = find_doubtful_labels(job, board.entries[0].recipe, predictions)
        doubtful.to_csv(folder / DOUBTFUL_NAME, index=False)
    index, sha256 = publish(
        store,
        key,
        folder,
        step=STEP,
        step_version=STEP_VERSION,
        inputs=comparison_inputs(job),
        summary=_summary(board),
        on_progress=on_progress,
    )
    return ref_from_folder(ComparisonRef, key, index, sha256)


def _class_prior(store: Store, report: ReportRef) -> np.ndarray:
    prior = read_metrics(store, report).probabilities.class_prior
    if prior is None:
        raise ArtifactCorrupt(
            f"expected report {report.id!r} to state which class shares its probabilities stand for, got one of an "
            "older version; evaluate the model again",
            key=report.key,
        )
    return np.array(prior)


def _summary(board: Leaderboard) -> JsonDict:
    return {
        "split": board.split,
        "reference": board.reference,
        "best": board.entries[0].recipe,
        "n_recipes": len(board.entries),
        "n_failed": len(board.failures),
        "synthetic": board.synthetic,
    }


def read_training(store: Store, model: ModelRef) -> Training:
    """Return how a model was trained, from its history and its provenance.

    A model whose provenance does not tell the whole time counts that of its steps.
    """
    history = pd.read_csv(io.BytesIO(read_file(store, model, HISTORY_NAME)))
    provenance = json.loads(read_file(store, model, _PROVENANCE_NAME))
    if "member" in history:  # networks that are averaged: the curve is that of the first
        history = history[history["member"] == 1]
    scores = history.get("val_balanced_accuracy", pd.Series(dtype=float))
    return Training(
        seconds=float(provenance.get("fit_seconds") or history["seconds"].sum()),
        n_epochs=len(history),
        n_parameters=provenance.get("n_parameters"),
        validation=tuple(None if np.isnan(score) else float(score) for score in scores),
    )


def _write(board: Leaderboard, job: ComparisonJob, folder: Path) -> None:
    (folder / LEADERBOARD_NAME).write_text(board.model_dump_json(indent=1) + "\n", encoding="utf-8")
    table_of(board).to_csv(folder / TABLE_NAME, index=False)
    (folder / SUMMARY_NAME).write_text(write_summary(board), encoding="utf-8")
    recipes = folder / "recipes"
    recipes.mkdir()
    for outcome in job.outcomes:
        content = json.dumps(outcome.run.recipe.model_dump(mode="json"), indent=1)
        recipe = outcome.run.recipe
        (recipes / f"{recipe.name}-s{recipe.seed}.json").write_text(content + "\n", encoding="utf-8")
    write_figures(board, folder / "figures")


def write_figures(board: Leaderboard, folder: Path) -> None:
    """Draw differences.png, scores.png, sensitivities.png and curves.png."""
    subject = figures.Subject(re.sub(r" of [^ ]+/[0-9a-f]{12}.*$", "", in_words(board)), board.synthetic)
    entries = board.entries
    of_recipe = {entry.recipe: [run for run in board.runs if run.recipe == entry.recipe] for entry in entries}
    differences = [
        (entry.recipe, entry.difference or Estimate(value=None), entry.share_better)
        for entry in entries
        if entry.recipe != board.reference
    ]
    figures.draw_differences(differences, board.reference, folder / "differences.png", subject)
    figures.draw_scores(
        [
            (each.recipe, each.balanced_accuracy, [run.balanced_accuracy for run in of_recipe[each.recipe]])
            for each in entries
        ],
        board.chance,
        folder / "scores.png",
        subject,
    )
    sensitivities = np.array([[_known(one.sensitivity) for one in entry.classes] for entry in entries])
    figures.draw_sensitivities(
        [entry.recipe for entry in entries], sensitivities, folder / "sensitivities.png", subject
    )
    curves = {name: [np.array(run.training.validation, float) for run in runs] for name, runs in of_recipe.items()}
    figures.draw_curves(curves, folder / "curves.png", subject)


def _known(estimate: Estimate) -> float:
    return float("nan") if estimate.value is None else estimate.value
