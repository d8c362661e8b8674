"""Which figures a report has, and what is shown on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core import figures
from lesion_core.dataset.model_images import ModelImages
from lesion_core.dataset.summary import DatasetSummary
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.measurement import Scored
from lesion_core.evaluation.report import PROBABILITY_COLUMNS, Metrics
from lesion_core.figures import Case
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.statistics.guarantees.conformal import SHOWN_COVERAGE
from lesion_core.statistics.measures import CLASS_MEASURES
from lesion_core.statistics.metrics import Reliability, precision_recall_of, roc_of

N_SHOWN = 24
PR_AUC = next(one for one in CLASS_MEASURES if one.name == "pr_auc")
HISTORY_NAME = "history.csv"


def write_performance(folder: Path, metrics: Metrics, scored: Scored) -> None:
    """Draw what was measured.

    confusion_matrix.png, roc.png, precision_recall.png, reliability.png, sensitivity.png and, where the report has
    one, decision_curve.png.
    """
    subject = subject_of(metrics)
    figures.draw_confusion_matrix(np.array(metrics.confusion), folder / "confusion_matrix.png", subject)
    figures.draw_roc(
        {name: roc_of(scored.class_index, scored.probs, place) for place, name in enumerate(CLASS_ORDER)},
        {one.diagnosis: one.auc for one in metrics.classes},
        folder / "roc.png",
        subject,
    )
    figures.draw_precision_recall(
        {
            name: precision_recall_of(scored.class_index, scored.probs, place)
            for place, name in enumerate(CLASS_ORDER)
        },
        {one.diagnosis: one.estimate(PR_AUC) for one in metrics.classes},
        dict(zip(CLASS_ORDER, scored.class_shares.tolist(), strict=True)),
        folder / "precision_recall.png",
        subject,
    )
    if metrics.decision_curve is not None:
        figures.draw_decision_curve(metrics.decision_curve, folder / "decision_curve.png", subject)
    bins = Reliability(*np.array(metrics.probabilities.bins, np.float64).T)
    figures.draw_reliability(bins, metrics.probabilities.calibration_error, folder / "reliability.png", subject)
    figures.draw_sensitivity(
        [(one.diagnosis, one.n_images, one.n_groups, one.sensitivity) for one in metrics.classes],
        metrics.chance,
        folder / "sensitivity.png",
        subject,
    )


def write_misclassified(
    folder: Path, metrics: Metrics, mistakes: pd.DataFrame, rows: pd.DataFrame, images: ModelImages
) -> None:
    """Draw misclassified.png: the first mistakes of the table, as the model saw them."""
    shown = mistakes.head(N_SHOWN)
    cases: list[Case] = []
    if len(shown):
        found = rows.set_index("isic_id").loc[shown["isic_id"]].reset_index()
        cases = [
            Case(str(row["isic_id"]), pixels, Diagnosis(row["true"]), row[list(PROBABILITY_COLUMNS)].to_numpy(float))
            for (_, row), pixels in zip(shown.iterrows(), images.pixels(found), strict=True)
        ]
    figures.draw_misclassified(
        cases, len(mistakes), folder / "misclassified.png", replace(subject_of(metrics), with_svg=False)
    )


def write_origins(folder: Path, metrics: Metrics, dataset: DatasetSummary, model_folder: Path) -> None:
    """Draw where the numbers come from: class_distribution.png and, where the model kept one, history.png."""
    counts = {
        split: np.array([images.get(str(name), 0) for name in CLASS_ORDER])
        for split, images in dataset.images.items()
        if sum(images.values())
    }
    line = f"{dataset.dataset.id}: {dataset.dataset.n_images:,} images, {dataset.dataset.n_groups:,} groups"
    figures.draw_class_distribution(
        counts, folder / "class_distribution.png", figures.Subject(line, dataset.dataset.synthetic)
    )
    history = model_folder / HISTORY_NAME
    if history.is_file():
        subject = figures.Subject(
            f"{metrics.subject.model_id}, dashed: from here on all layers train", metrics.subject.synthetic
        )
        table = pd.read_csv(history)
        if not table.empty:
            figures.draw_history(table, folder / "history.png", subject)


def write_uncertainty(folder: Path, metrics: Metrics, analyses: Analyses) -> None:
    """Draw risk_coverage.png and, where the model has conformal sets, conformal_sets.png."""
    subject = subject_of(metrics)
    figures.draw_risk_coverage(analyses.selective, folder / "risk_coverage.png", subject)
    for found in analyses.sets or ():
        if found.wanted == SHOWN_COVERAGE:
            classes = [(one.diagnosis, one.coverage, one.mean_size, one.is_pooled) for one in found.classes]
            figures.draw_coverage(classes, found.wanted, folder / "conformal_sets.png", subject)


def subject_of(metrics: Metrics) -> figures.Subject:
    """Return what a report's figures are about; each is written as SVG, too."""
    subject = metrics.subject
    line = (
        f"{subject.model_id} on {subject.n_images:,} {subject.split} images ({subject.n_groups:,} groups) of "
        f"{subject.dataset_id}"
    )
    return figures.Subject(line, subject.synthetic, with_svg=True)
