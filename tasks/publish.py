"""What a run shows in the Prefect UI: artifacts under constant keys, and events.

A constant key makes each run a new version of the same artifact; run and model ids go in the description.
"""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from lesion_core import markup
from lesion_core.refs import ModelRef
from tasks.progress import progress as progress

DATASET_SUMMARY = "dataset-summary"
DATA_REPORT = "data-report"
INGEST_ISSUES = "ingest-issues"
TRAIN_HISTORY = "train-history"
CONTACT_SHEET = "contact-sheet"
EVAL_METRICS = "eval-metrics"
EVAL_PER_CLASS = "eval-per-class"
EVAL_FIGURES = "eval-figures"
EVAL_REMARKS = "eval-remarks"
GATE_DECISION = "gate-decision"
MODEL_CARD = "model-card"
LEFT_OUT = "left-out"
UNKNOWN_CLASS = "unknown-class"
SOURCE_SHIFT = "source-shift"
LEADERBOARD = "leaderboard"
COMPARISON = "comparison"
STUDY_TRIALS = "study-trials"
STUDY_FIGURES = "study-figures"
BEST_RECIPE = "best-recipe"
ARCHIVE_CHANGES = "archive-changes"
ARCHIVE_DRIFT = "archive-drift"

Row = Mapping[Any, Any]


def table(key: str, rows: Sequence[Row], description: str) -> None:
    """Publish rows as a table artifact."""
    create_table_artifact(
        table=[{str(name): value for name, value in row.items()} for row in rows], key=key, description=description
    )


def markdown(key: str, text: str, description: str) -> None:
    """Publish a markdown artifact; ``text`` must not be indented."""
    create_markdown_artifact(markdown=text, key=key, description=description)


def images_as_markdown(figures: Sequence[tuple[str, bytes]]) -> str:
    """Return titled PNGs as markdown that holds them: the store's files are private, so no address would open."""
    shown = [{"title": title, "base64": markup.Markdown(base64.b64encode(png).decode())} for title, png in figures]
    return markup.render_markdown("lesion_core", "figures", figures=shown).rstrip("\n")


def images(key: str, figures: Sequence[tuple[str, bytes]], description: str) -> None:
    """Publish titled PNGs inside one markdown artifact."""
    markdown(key, images_as_markdown(figures), description)


def bullets(lines: Sequence[str]) -> str:
    """Return sentences as a markdown list; each is text, whatever it looks like."""
    return "\n".join(f"- {markup.escape_markdown(line)}" for line in lines)


def csv_as_markdown(text: str) -> str:
    """Return a CSV's rows as a markdown table."""
    header, *rows = list(csv.reader(io.StringIO(text)))
    return markup.table(header, rows)


def announce(noun: str, past_tense: str, model: ModelRef, **payload: Any) -> None:
    """Emit ``lesion.<noun>.<past tense>`` for automations to act on."""
    emit_event(
        event=f"lesion.{noun}.{past_tense}",
        resource={"prefect.resource.id": f"lesion.model.{model.id}", "prefect.resource.name": model.id},
        payload={"sha256": model.sha256, **payload},
    )
