"""The network as an image: what goes in, what it passes through, what comes out."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline

from lesion_core.figures.canvas import ACCENT, INK, MUTED, Sheet, Subject
from lesion_core.figures.layout import Layout, lay_out
from lesion_core.modeling.network.architecture import Block, NetworkSummary

_BOX_WIDTH, _BOX_HEIGHT = 2.15, 0.66  # inches, as are the distances of their middles
_COLUMN, _ROW = 2.35, 1.02
_OUTPUTS = ("logits", "evidence", "metadata_logits", "interaction_logits", "embedding")


def draw_architecture(summary: NetworkSummary, path: Path, *, title: str = "Network") -> Path:
    """Draw a network's blocks and what feeds what, as PNG at ``path``; return the path."""
    layout = lay_out({block.name: block.inputs for block in summary.blocks})
    width, height = layout.width * _COLUMN + _BOX_WIDTH, (layout.n_rows - 1) * _ROW + _BOX_HEIGHT
    line = (
        f"{summary.n_parameters:,} parameters, {summary.n_backbone:,} of them in the backbone; "
        "shapes are height × width × channels of one image"
    )
    over = [
        *([f"{summary.n_members} networks like this"] if summary.n_members > 1 else []),
        *([f"{summary.n_views} views of the image"] if summary.n_views > 1 else []),
    ]
    if over:
        line += f"; answers are averaged over {' and '.join(over)}"
    sheet = Sheet(title, Subject(line, synthetic=False), width=max(width + 0.6, 6.6), height=height + 0.5)
    axes = sheet.axes()[0]
    axes.set_axis_off()
    axes.set(xlim=(-_BOX_WIDTH / 2 - 0.1, width - _BOX_WIDTH / 2 + 0.1), ylim=(-height + 0.2, _BOX_HEIGHT / 2 + 0.1))
    axes.set_aspect("equal")
    for line_points in layout.lines:
        _draw_line(axes, line_points)
    for block in summary.blocks:
        _draw_box(axes, block, layout)
    return sheet.save(path)


def _draw_box(axes: Axes, block: Block, layout: Layout) -> None:
    column, row = layout.places[block.name]
    x, y = column * _COLUMN, -row * _ROW
    fill = "#e6eff6" if block.kind == "Input" else "#f4f1e8" if block.name in _OUTPUTS else "white"
    axes.add_patch(
        FancyBboxPatch(
            (x - _BOX_WIDTH / 2, y - _BOX_HEIGHT / 2),
            _BOX_WIDTH,
            _BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=fill,
            edgecolor=ACCENT,
            linewidth=1.0,
            zorder=2,
        )
    )
    left = x - _BOX_WIDTH / 2 + 0.1
    axes.text(left, y + 0.17, block.name, size=8.5, weight="bold", color=INK, va="center", zorder=3)
    axes.text(left, y - 0.02, _detail(block), size=6.8, color=MUTED, va="center", zorder=3)
    axes.text(left, y - 0.20, _shapes(block), size=6.8, color=ACCENT, va="center", family="monospace", zorder=3)


def _detail(block: Block) -> str:
    weights = f", {block.n_parameters:,} parameters" if block.n_parameters else ""
    return block.kind + weights


def _shapes(block: Block) -> str:
    return "  ".join("×".join(map(str, shape)) or "1" for shape in block.shapes)


def _draw_line(axes: Axes, points: tuple[tuple[float, int], ...]) -> None:
    """Draw one arrow; where it passes rows it runs straight down between their boxes."""
    places = [(column * _COLUMN, -row * _ROW) for column, row in points]
    half = _BOX_HEIGHT / 2
    corners = [(places[0][0], places[0][1] - half)]
    for x, y in places[1:-1]:
        corners += [(x, y + half), (x, y - half)]
    corners.append((places[-1][0], places[-1][1] + half))
    axes.add_patch(
        FancyArrowPatch(
            path=Outline(corners), arrowstyle="-|>", mutation_scale=8, color=MUTED, linewidth=0.9, zorder=1
        )
    )
