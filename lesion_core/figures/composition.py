"""What a dataset holds: classes by split, ages, sexes, sites, sources, gaps."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lesion_core.figures.canvas import (
    CATEGORY_COLOURS,
    CLASS_COLOURS,
    INK,
    MUTED,
    RULE,
    Sheet,
    Subject,
    folded,
    head,
)
from lesion_core.labels import CLASS_ORDER, N_CLASSES

_SPLIT_COLOURS = {
    "train": "#1f5f8b",
    "validation": "#6ea3c4",
    "calibration": "#b7cfdf",
    "test": "#c77d2e",
    "quarantined": "#9aa5b1",
}
_NOTE: dict[str, Any] = {"size": 7.5, "color": MUTED, "va": "top", "linespacing": 1.3}
_NAMES = [str(name) for name in CLASS_ORDER]


@dataclass(frozen=True, slots=True)
class Panel:
    """One field by class: ``counts`` holds images by value and class, (k,) each; ``unknown`` is drawn grey."""

    heading: str
    counts: Mapping[str, np.ndarray]
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of shares: ``counts`` and ``of``, what a share is of, are int (rows, columns)."""

    heading: str
    rows: Sequence[str]
    columns: Sequence[str]
    counts: np.ndarray
    of: np.ndarray


def draw_class_distribution(counts: Mapping[str, np.ndarray], path: Path, subject: Subject) -> Path:
    """Draw images per class, stacked by split; return ``path``.

    Args:
        counts: Split to int (k,).
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Images by class and split", subject, width=7.2, height=4.1)
    axes = sheet.axes()[0]
    base = np.zeros(N_CLASSES)
    for split, values in counts.items():
        colour = _SPLIT_COLOURS.get(split, MUTED)
        axes.barh(range(N_CLASSES), values, left=base, color=colour, height=0.66, label=f"{split} ({values.sum():,})")
        base = base + values
    for row, total in enumerate(base):
        axes.text(total + base.max() * 0.01, row, f"{int(total):,}", size=8, color=INK, va="center")
    axes.set_yticks(range(N_CLASSES), _NAMES)
    axes.set(ylim=(N_CLASSES - 0.5, -0.5), xlim=(0, max(base.max(), 1) * 1.1), xlabel="images")
    axes.tick_params(axis="y", length=0)
    axes.legend(
        fontsize=8,
        frameon=False,
        labelcolor=INK,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        ncols=len(counts),
        handlelength=1.2,
        columnspacing=1.2,
    )
    return sheet.save(path)


def draw_ages(ages: np.ndarray, images: np.ndarray, bin_years: int, path: Path, subject: Subject) -> Path:
    """Draw each class's ages, and the share of its images without one; return ``path``.

    Args:
        ages: int (k, n_bins), images by class and age, from 0 in steps of ``bin_years``; the last bin is open.
        images: int (k,), all images of each class.
        bin_years: Width of a bin.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Ages by class", subject, width=9.4, height=4.6)
    known = ages.sum(axis=1)
    shares = 100 * ages / np.maximum(known, 1)[:, None]
    starts = np.arange(ages.shape[1]) * bin_years
    n_columns = math.ceil(N_CLASSES / 2)
    grid = sheet.axes(2, n_columns, sharex=True, sharey=True)
    for axes in grid[N_CLASSES:]:
        axes.set_axis_off()
    for place, axes in enumerate(grid[:N_CLASSES]):
        axes.bar(starts, shares[place], width=bin_years * 0.86, align="edge", color=CLASS_COLOURS[place])
        head(axes, f"{_NAMES[place]}  {images[place]:,} images")
        axes.text(0.02, 0.97, _age_note(ages[place], images[place], starts), transform=axes.transAxes, **_NOTE)
        axes.set_xticks(range(0, int(starts[-1]) + 1, 30))
    grid[0].set_ylim(0, max(float(shares.max()), 1) * 1.3)
    for axes in grid[n_columns:]:
        is_first = axes is grid[n_columns]
        axes.set_xlabel(f"age in years ({starts[-1]} and older in one)" if is_first else "age in years")
    for axes in grid[::n_columns]:
        axes.set_ylabel("% of known ages")
    return sheet.save(path)


def _age_note(ages: np.ndarray, n_images: int, starts: np.ndarray) -> str:
    if not n_images:
        return "no images"
    unknown = f"unknown {100 - 100 * ages.sum() / n_images:.1f} %"
    if not ages.sum():
        return unknown
    middle = int(np.searchsorted(np.cumsum(ages), ages.sum() / 2))
    end = f"–{starts[middle + 1] - 1}" if middle + 1 < len(starts) else " or older"
    return f"median {starts[middle]}{end}\n{unknown}"


def draw_panels(title: str, panels: Sequence[Panel], path: Path, subject: Subject) -> Path:
    """Draw each field's shares of every class, stacked, one panel per field; return ``path``."""
    n_lines = max(sum(folded(name, 40).count("\n") + 1 for name in panel.counts) for panel in panels)
    sheet = Sheet(title, subject, width=3.3 * len(panels) + 0.6, height=3.1 + 0.19 * n_lines)
    for axes, panel in zip(sheet.axes(1, len(panels), sharey=True), panels, strict=True):
        _stack(axes, panel)
    return sheet.save(path)


def _stack(axes: Axes, panel: Panel) -> None:
    totals = np.maximum(sum(panel.counts.values(), np.zeros(N_CLASSES)), 1)
    colours = iter(CATEGORY_COLOURS)
    base = np.zeros(N_CLASSES)
    for name, counts in panel.counts.items():
        shares = 100 * counts / totals
        colour = RULE if name == panel.unknown else next(colours)
        label = f"{folded(name, 40)} ({counts.sum():,})"
        axes.barh(range(N_CLASSES), shares, left=base, color=colour, height=0.7, label=label)
        base = base + shares
    axes.set_yticks(range(N_CLASSES), _NAMES)
    axes.set(ylim=(N_CLASSES - 0.5, -0.5), xlim=(0, 100), xlabel="% of the class")
    axes.tick_params(axis="y", length=0)
    head(axes, panel.heading)
    axes.legend(
        fontsize=7.5, frameon=False, labelcolor=INK, loc="upper left", bbox_to_anchor=(-0.02, -0.17), handlelength=1.2
    )


def draw_grid(title: str, grid: Grid, path: Path, subject: Subject) -> Path:
    """Draw a table of shares, shaded, with the counts in its cells; return ``path``."""
    rows = [folded(name, 34) for name in grid.rows]
    heights = sum(max(name.count("\n") + 1, 2) for name in rows)
    sheet = Sheet(title, subject, width=9.4, height=1.1 + 0.2 * heights)
    axes = sheet.axes()[0]
    shares = grid.counts / np.maximum(grid.of, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*grid.counts.shape):
        _write_share(axes, row, column, int(grid.counts[row, column]), int(grid.of[row, column]))
    axes.set_xticks(range(len(grid.columns)), [folded(name, 12) for name in grid.columns])
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(np.arange(-0.5, len(grid.columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(rows)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    head(axes, grid.heading)
    return sheet.save(path)


def _write_share(axes: Axes, row: int, column: int, count: int, of: int) -> None:
    share = count / of if of else 0.0
    colour = "white" if share > 0.55 else INK if count else MUTED
    if not of:
        axes.text(column, row, "–", ha="center", va="center", size=8, color=MUTED)
        return
    words = "100 %" if count == of else "<1 %" if 0 < share < 0.01 else f"{min(100 * share, 99):.0f} %"
    axes.text(column, row - 0.16, words, ha="center", va="center", size=8.5, color=colour)
    axes.text(column, row + 0.24, f"{count:,}", ha="center", va="center", size=6.5, color=colour)


def name_rows(names: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Return row names, the long ones cut, with the number of images behind them."""
    short = (textwrap.shorten(name, 88, placeholder=" …") for name in names)
    return [f"{name} ({count:,})" for name, count in zip(short, counts, strict=True)]
