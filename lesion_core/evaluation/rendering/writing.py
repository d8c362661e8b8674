"""Every file of a report."""

import json
from dataclasses import dataclass
from pathlib import Path

from lesion_core.dataset.proof.certificate import read_certificate
from lesion_core.dataset.summary import describe
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.analysis.drawing import write_stress, write_subgroups
from lesion_core.evaluation.card import card_of, write_cards
from lesion_core.evaluation.cases.cases import mistakes_of, table_for_reannotation
from lesion_core.evaluation.cases.run import CaseAnalysis
from lesion_core.evaluation.opened import Opened
from lesion_core.evaluation.predictions import Answers, table_of_mistakes, table_of_predictions
from lesion_core.evaluation.rendering.gallery import (
    subject_of,
    write_misclassified,
    write_origins,
    write_performance,
    write_uncertainty,
)
from lesion_core.evaluation.rendering.page import write_page
from lesion_core.evaluation.rendering.remarks import remarks_on
from lesion_core.evaluation.rendering.shown_cases import shown_pairs
from lesion_core.evaluation.rendering.tables import tables_of
from lesion_core.evaluation.report import (
    ANALYSES_NAME,
    METRICS_NAME,
    MISCLASSIFIED_NAME,
    PREDICTIONS_NAME,
    REMARKS_NAME,
    Metrics,
)
from lesion_core.evaluation.scored import Scored
from lesion_core.isic.external.labels import LEFT_OUT_NAME
from lesion_core.progress import ProgressCallback, Tally
from lesion_core.refs import ModelRef

REANNOTATION_NAME = "reannotation.csv"


@dataclass(frozen=True, slots=True)
class Found:
    """What an evaluation found.

    Attributes:
        answers: What the model said.
        scored: What was measured.
        metrics: The scores.
        analyses: All else; ``None``: scores alone were asked for.
        cases: Of single images; ``None`` likewise.
    """

    answers: Answers
    scored: Scored
    metrics: Metrics
    analyses: Analyses | None
    cases: CaseAnalysis | None


def write_files(folder: Path, model: ModelRef, opened: Opened, found: Found, on_progress: ProgressCallback) -> None:
    """Write a report's files into an empty folder; ``on_progress`` gets the stage 'figures'."""
    metrics = found.metrics
    (folder / METRICS_NAME).write_text(metrics.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if opened.external is not None:
        opened.external.left_out.to_csv(folder / LEFT_OUT_NAME, index=False)
    predictions = table_of_predictions(opened.rows, found.scored.probs, found.answers.ood_scores)
    predictions.to_parquet(folder / PREDICTIONS_NAME, index=False)
    mistakes = table_of_mistakes(predictions) if found.cases is None else mistakes_of(found.cases.cases)
    mistakes.to_csv(folder / MISCLASSIFIED_NAME, index=False)
    summary = describe(opened.dataset)
    figures, tally = folder / "figures", Tally(on_progress, "figures", 4)
    with tally.part("performance"):
        write_performance(figures, metrics, found.scored)
    with tally.part("misclassified images"):
        write_misclassified(figures, metrics, mistakes, opened.rows, opened.images)
    with tally.part("classes and training history"):
        write_origins(figures, metrics, summary, opened.folder)
    tables = () if found.analyses is None else tables_of(found.analyses)
    card = card_of(metrics, model, opened.predictor.folder, summary, tables)
    write_cards(folder, card)
    with tally.part("analyses, report"):
        if found.analyses is not None and found.cases is not None:
            _write_analyses(folder, metrics, found.analyses, found.cases)
        remarks = remarks_on(metrics, found.analyses, read_certificate(opened.dataset.folder).shortcuts)
        (folder / REMARKS_NAME).write_text(json.dumps(remarks, indent=1) + "\n", encoding="utf-8")
        write_page(
            folder,
            metrics,
            card.sections,
            remarks,
            () if found.cases is None else shown_pairs(found.cases.gallery),
            "" if found.cases is None else found.cases.gallery.in_words(),
        )


def _write_analyses(folder: Path, metrics: Metrics, analyses: Analyses, cases: CaseAnalysis) -> None:
    (folder / ANALYSES_NAME).write_text(analyses.model_dump_json(indent=1) + "\n", encoding="utf-8")
    doubtful = [one.isic_id for one in analyses.label_noise.suspects]
    table_for_reannotation(cases.cases, doubtful).to_csv(folder / REANNOTATION_NAME, index=False)
    figures, subject = folder / "figures", subject_of(metrics)
    write_uncertainty(figures, metrics, analyses)
    write_stress(figures, analyses.stress, subject)
    write_subgroups(
        figures,
        analyses.subgroups,
        subject,
        malignant_sensitivity=metrics.malignancy.sensitivity,
        balanced_accuracy=metrics.balanced_accuracy,
    )
