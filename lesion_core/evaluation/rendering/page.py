"""A model's report as one HTML file that needs nothing else: every table, figure and misclassified image of it.

Whatever came from an archive is escaped: an attribution is text, whatever it looks like.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lesion_core.evaluation.card.content import CardTable, Topic
from lesion_core.evaluation.card.predictive import predictive_tables
from lesion_core.evaluation.report import REPORT_PAGE_NAME, Metrics
from lesion_core.figures.canvas import SYNTHETIC_MARK
from lesion_core.markup import render_html
from lesion_core.serving.wording import brief_disclaimer

_TEMPLATE = "model_report"


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture: a data URI, its width in pixels, and what it shows."""

    uri: str
    width: int
    caption: str


@dataclass(frozen=True, slots=True)
class ShownCase:
    """One misclassified image: pictures, and lines of text."""

    pictures: tuple[Picture, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownPair:
    """Images of one class that were taken for another."""

    title: str
    label: str
    n: int
    n_left_out: int
    cases: tuple[ShownCase, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of the report.

    Attributes:
        heading: As in the list at its top.
        tables: In order.
        figures: File names in the report's folder, with what each shows; those that are not there are left out.
    """

    heading: str
    tables: tuple[CardTable, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()


# Heading, topics whose tables stand under it, figures.
_LAYOUT: tuple[tuple[str, tuple[Topic, ...], tuple[tuple[str, str], ...]], ...] = (
    (
        "Decisions",
        ("operating points",),
        (("decision_curve", "Net benefit of calling malignant, by threshold probability"),),
    ),
    (
        "What cannot be excluded",
        ("answers with several classes",),
        (("conformal_sets", "Conformal sets: coverage and size by class"),),
    ),
    (
        "Calibration and confidence",
        ("calibration",),
        (
            ("reliability", "Reliability: share that is right, by probability of the leading class"),
            ("risk_coverage", "Risk and coverage: wrong answers if only the surest are given"),
        ),
    ),
    ("Images unlike the training images", ("out of distribution",), ()),
    ("Subgroups", ("subgroups",), (("subgroups", "Malignant sensitivity by subgroup"),)),
    ("Missing metadata", ("missing metadata",), ()),
    ("Stress", ("stress",), (("stress", "Changes of the answer by perturbation and severity"),)),
    ("External tests", ("external tests",), ()),
)
_PERFORMANCE = (
    ("confusion_matrix", "Confusion matrix"),
    ("sensitivity", "Sensitivity by class, with 95 % intervals"),
    ("roc", "ROC curves, one class against the rest"),
    ("precision_recall", "Precision and recall, one class against the rest"),
)
_ORIGINS = (
    ("class_distribution", "Images by class and split"),
    ("history", "Training and validation by epoch"),
)


def write_page(
    folder: Path,
    metrics: Metrics,
    tables: Sequence[CardTable],
    remarks: Sequence[str],
    pairs: Sequence[ShownPair] = (),
    cases_note: str = "",
) -> Path:
    """Write ``report.html`` into a report's folder, whose figures are drawn already; return its path.

    Args:
        folder: Where the report's files are.
        metrics: What was measured.
        tables: Of the analyses; one without a topic stands at the end.
        remarks: What to know first, a sentence or two each.
        pairs: Misclassified images by confusion.
        cases_note: How those were chosen.
    """
    subject = metrics.subject
    page = render_html(
        "lesion_core",
        _TEMPLATE,
        title=f"Model report: {subject.model_id}",
        mark=SYNTHETIC_MARK if subject.synthetic else "",
        opening=(
            f"Measured on {subject.n_images:,} images ({subject.n_groups:,} groups of lesions and patients) of the "
            f"{subject.split_in_words} of {subject.dataset_id}. Intervals are 95 %, over whole groups."
        ),
        disclaimer=brief_disclaimer(),
        remarks=list(remarks),
        sections=[_shown(section, folder) for section in _sections(metrics, tables)],
        pairs=list(pairs),
        cases_note=cases_note,
        origin=(
            f"Model {subject.model_sha256}, dataset {subject.dataset_sha256} (sha256 of their indices). "
            f"{subject.n_bootstrap:,} resamples, seed {subject.seed}, evaluation version {subject.step_version}."
        ),
    )
    path = folder / REPORT_PAGE_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _sections(metrics: Metrics, tables: Sequence[CardTable]) -> list[Section]:
    by_topic = [
        Section(heading, tables=tuple(table for table in tables if table.topic in topics), figures=figures)
        for heading, topics, figures in _LAYOUT
    ]
    predictive = tuple(predictive_tables(metrics))
    others = tuple(table for table in tables if table.topic is None and table not in predictive)
    return [
        Section("Scores", tables=(_headline(metrics), _by_class(metrics), *predictive), figures=_PERFORMANCE),
        *(section for section in by_topic if section.tables),
        *((Section("Further analyses", tables=others),) if others else ()),
        Section("Where it comes from", figures=_ORIGINS),
    ]


def _headline(metrics: Metrics) -> CardTable:
    rows = [(row["measure"], row["value"], row["interval"] or "–") for row in metrics.headline_rows()]
    return CardTable(title="All images", note="", header=("measure", "value", "95 % interval"), rows=tuple(rows))


def _by_class(metrics: Metrics) -> CardTable:
    rows = metrics.class_rows()
    cells = [
        tuple(f"{cell:,}" if isinstance(cell, int) else str(cell) or "–" for cell in row.values()) for row in rows
    ]
    return CardTable(title="By class, one against the rest", note="", header=tuple(rows[0]), rows=tuple(cells))


def _shown(section: Section, folder: Path) -> dict[str, object]:
    figures = [(folder / "figures" / f"{name}.png", caption) for name, caption in section.figures]
    return {
        "heading": section.heading,
        "tables": section.tables,
        "figures": [
            {"caption": caption, "base64": base64.b64encode(path.read_bytes()).decode()}
            for path, caption in figures
            if path.is_file()
        ],
    }
