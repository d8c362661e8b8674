"""The report on a dataset laid out: as one HTML file that needs nothing else, and as Markdown tables.

Whatever came from an archive is escaped: an attribution is text, whatever it looks like.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from lesion_core.dataset_report.content import DataSummary, TextTable, remarks_on, tables_of
from lesion_core.dataset_report.spec import FIGURES, Shown
from lesion_core.figures.canvas import SYNTHETIC_MARK

# Nothing is loaded and nothing runs, wherever the file is opened.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; margin: 0 auto; max-width: 1000px;
       padding: 24px 20px 60px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 6px; }
p { margin: 6px 0; } .muted { color: #616e7c; } li { margin: 4px 0; }
.mark { background: #fbe3c8; color: #9c4a00; font-weight: bold; padding: 8px 12px; margin: 0 0 16px; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; border: 1px solid #e4e7eb; }
table { border-collapse: collapse; font-size: 14px; } th, td { padding: 4px 10px; border-bottom: 1px solid #cbd2d9; }
th { text-align: left; } td + td, th + th { text-align: right; white-space: nowrap; }
@media print { h2 { break-after: avoid; } img, table { break-inside: avoid; } }
"""


def write_page(content: DataSummary, folder: Path) -> str:
    """Return the report as HTML; its figures are read from the report's folder and put into it."""
    ref = content.summary.dataset
    title = f"Dataset {ref.id}"
    parts = [
        f'<p class="mark">{_text(SYNTHETIC_MARK)}</p>' if ref.synthetic else "",
        f"<h1>{_text(title)}</h1>",
        f'<p class="muted">{_text(opening(content))}</p>',
        "<h2>Before you trust a number made from it</h2>",
        f"<ul>{''.join(f'<li>{_text(remark)}</li>' for remark in remarks_on(content))}</ul>",
        *(_figure(shown, folder / shown.file_name) for shown in FIGURES if (folder / shown.file_name).is_file()),
        *(_table(table) for table in tables_of(content) if table.rows),
        f'<p class="muted">{_text(_origin(content))}</p>',
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_text(_POLICY)}">'
        f'<meta name="viewport" content="width=device-width"><title>{_text(title)}</title><style>{_STYLE}</style>'
    )
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


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
    mark = [f"**{SYNTHETIC_MARK}**"] if content.summary.dataset.synthetic else []
    remarks = "\n".join(f"- {_cell(remark)}" for remark in remarks_on(content))
    tables = (f"## {table.heading}\n\n{_markdown(table)}" for table in tables_of(content) if table.rows)
    return "\n\n".join([*mark, _cell(opening(content)), remarks, *tables])


def _figure(shown: Shown, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{_text(shown.heading)}" src="data:image/png;base64,{data}">'
    return f'<h2>{_text(shown.heading)}</h2><p class="muted">{_text(shown.reading)}</p>{image}'


def _table(table: TextTable) -> str:
    header = "".join(f"<th>{_text(cell)}</th>" for cell in table.header)
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f'<h2>{_text(table.heading)}</h2><div class="wide"><table><tr>{header}</tr>{rows}</table></div>'


def _origin(content: DataSummary) -> str:
    shown = "; ".join(f"{name}: {', '.join(ids)}" for name, ids in content.samples.items() if ids)
    sha256 = content.summary.dataset.sha256
    return f"Samples, from left to right: {shown}. Seed {content.seed}. sha256 of the dataset's index: {sha256}."


def _text(value: str) -> str:
    return html.escape(value, quote=True)


def _markdown(table: TextTable) -> str:
    lines: Iterable[Sequence[str]] = (table.header, ["---"] * len(table.header), *table.rows)
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: str) -> str:
    """Return text that stays in its cell, and that no Markdown viewer takes for a tag or a link."""
    line = " ".join(value.split())
    for sign in "\\`*_[]|":
        line = line.replace(sign, f"\\{sign}")
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
