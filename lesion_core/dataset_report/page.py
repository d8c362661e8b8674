"""The report on a dataset laid out: as one HTML file that needs nothing else, and as Markdown tables.

Whatever came from an archive is escaped: an attribution is text, whatever it looks like.
"""

import base64
from pathlib import Path

from lesion_core.dataset_report.content import DataSummary, remarks_on, tables_of
from lesion_core.dataset_report.spec import FIGURES, Shown
from lesion_core.figures.canvas import SYNTHETIC_MARK
from lesion_core.markup import render_html, render_markdown

_TEMPLATE = "dataset_report"


def write_page(content: DataSummary, folder: Path) -> str:
    """Return the report as HTML; its figures are read from the report's folder and put into it."""
    return render_html(
        "lesion_core",
        _TEMPLATE,
        title=f"Dataset {content.summary.dataset.id}",
        figures=[_figure(shown, folder) for shown in FIGURES if (folder / shown.file_name).is_file()],
        origin=_origin(content),
        **_said(content),
    )


def opening(content: DataSummary) -> str:
    """Return what the dataset is, in two sentences."""
    ref = content.summary.dataset
    licences = ", ".join(f"{count:,} {licence}" for licence, count in content.summary.licences.items())
    return (
        f"{ref.n_images:,} images in {ref.n_groups:,} independent groups, scaled to {ref.size_px} × {ref.size_px} "
        f"pixels. Licence {ref.licence}, that of its most restricted image ({licences}); a model made from it "
        "inherits it."
    )


def write_tables(content: DataSummary) -> str:
    """Return opening, remarks and tables as Markdown."""
    return render_markdown("lesion_core", _TEMPLATE, **_said(content)).rstrip("\n")


def _said(content: DataSummary) -> dict[str, object]:
    """Return what both forms say, as text."""
    return {
        "mark": SYNTHETIC_MARK if content.summary.dataset.synthetic else "",
        "opening": opening(content),
        "remarks": tuple(remarks_on(content)),
        "tables": [table for table in tables_of(content) if table.rows],
    }


def _figure(shown: Shown, folder: Path) -> dict[str, str]:
    data = base64.b64encode((folder / shown.file_name).read_bytes()).decode()
    return {"heading": shown.heading, "reading": shown.reading, "base64": data}


def _origin(content: DataSummary) -> str:
    shown = "; ".join(f"{name}: {', '.join(ids)}" for name, ids in content.samples.items() if ids)
    sha256 = content.summary.dataset.sha256
    return f"Samples, from left to right: {shown}. Seed {content.seed}. sha256 of the dataset's index: {sha256}."
