"""Where a model fails: its numbers by subgroup, and how far its answers move when an image is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from lesion_core.figures.canvas import ACCENT, INK, MUTED, RULE, WARNING, Sheet, Subject, folded, head
from lesion_core.statistics.estimates import Estimate

_ROW_INCHES = 0.25
_LETTERS = 40
_DASHED = (0, (4, 3))


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One subgroup.

    Attributes:
        field: What it is a value of; rows of a field stand together.
        value: Which.
        n_images: Images in it.
        n_groups: Groups in it.
        estimates: One per panel; none: nothing is printed.
        is_gap: Of each panel, whether it differs from the rest.
    """

    field: str
    value: str
    n_images: int
    n_groups: int
    estimates: tuple[Estimate, ...]
    is_gap: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One perturbation at one severity; differences are changed minus unchanged."""

    perturbation: str
    amount: str
    flips: Estimate
    malignant_flips: Estimate
    balanced_accuracy: Estimate


def draw_subgroups(
    rows: Sequence[ForestRow], panels: Sequence[tuple[str, Estimate]], path: Path, subject: Subject
) -> Path:
    """Draw each subgroup's numbers with their intervals beside those of all images; return ``path``.

    Args:
        rows: Drawn from the top, each field under its name.
        panels: (measure, that of all images), left to right, in the order of the rows' ``estimates``.
        path: Where to.
        subject: Of what.
    """
    places = _places([row.field for row in rows])
    height = 1.2 + _ROW_INCHES * (max(places, default=0) + 1)
    sheet = Sheet("By subgroup, with 95 % intervals", subject, width=10.2, height=height)
    every = sheet.axes(1, len(panels), sharey=True)
    for number, (axes, (measure, whole)) in enumerate(zip(every, panels, strict=True)):
        if whole.value is not None:
            axes.axvline(whole.value, color=MUTED, linewidth=1, linestyle=_DASHED)
        for row, place in zip(rows, places, strict=True):
            _subgroup(axes, row, place, number)
        axes.set(xlim=(-0.02, 1.16), xlabel=measure)
        axes.set_xticks(np.arange(0, 1.01, 0.2))
        _rule(axes)
    _name(every[0], [f"{_cut(row.value)}  ({row.n_groups:,} groups)" for row in rows], places)
    _head_fields(every[0], [row.field for row in rows], places)
    head(every[0], "Brown: differs from the rest")
    head(every[-1], "Dashed: all images. Open: few groups")
    return sheet.save(path)


def draw_stress(rows: Sequence[ChangeRow], path: Path, subject: Subject) -> Path:
    """Draw what each change of the image does to the answers; return ``path``.

    Args:
        rows: Drawn from the top, each perturbation under its name.
        path: Where to.
        subject: Of what.
    """
    places = _places([row.perturbation for row in rows])
    height = 1.2 + _ROW_INCHES * (max(places, default=0) + 1)
    sheet = Sheet("Answers under changes of the image, with 95 % intervals", subject, width=10.2, height=height)
    left, right = sheet.axes(1, 2, sharey=True)
    for row, place in zip(rows, places, strict=True):
        _mark(left, place - 0.14, row.flips, ACCENT, filled=True)
        _mark(left, place + 0.14, row.malignant_flips, WARNING, filled=True)
        difference = row.balanced_accuracy
        is_clear = difference.low is not None and difference.high is not None and difference.low * difference.high > 0
        _mark(right, place, difference, WARNING if is_clear else MUTED, filled=is_clear)
    right.axvline(0, color=MUTED, linewidth=1, linestyle=_DASHED)
    left.set_xlim(left=-0.01)
    left.set_xlabel("share of images that change")
    right.set_xlabel("change of balanced accuracy")
    for axes in (left, right):
        _rule(axes)
    _name(left, [row.amount for row in rows], places)
    _head_fields(left, [row.perturbation for row in rows], places)
    head(left, "Blue: leading class. Brown: malignant or not")
    head(right, "Brown: the interval leaves 0 out")
    return sheet.save(path)


def _places(headings: Sequence[str]) -> list[int]:
    """Return each row's place from the top, with one left free above the first row of each heading."""
    starts = [True, *(one != other for one, other in pairwise(headings))][: len(headings)]
    return [row + n for row, n in enumerate(np.cumsum(starts).tolist())]


def _subgroup(axes: Axes, row: ForestRow, place: int, number: int) -> None:
    if not row.estimates or row.estimates[number].value is None:
        said = "too few groups" if not row.estimates else "not known"
        plain = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.text(0.01, place, said, size=7.5, color=MUTED, va="center", bbox=plain)
        return
    found = row.estimates[number]
    _mark(axes, place, found, WARNING if row.is_gap[number] else ACCENT, filled=found.method == "group bootstrap")
    axes.text(1.03, place, f"{found.value:.2f}", size=7.5, color=INK, va="center")


def _cut(text: str) -> str:
    """Return foreign text in one line of at most ``_LETTERS`` letters."""
    return folded(text if len(text) <= _LETTERS else f"{text[: _LETTERS - 2]} …", 2 * _LETTERS)


def _mark(axes: Axes, place: float, found: Estimate, colour: str, *, filled: bool) -> None:
    if found.low is not None and found.high is not None:
        axes.hlines(place, found.low, found.high, color=colour, linewidth=1.6)
    if found.value is not None:
        fill = colour if filled else "white"
        axes.plot(found.value, place, "o", color=colour, markersize=4.5, markerfacecolor=fill)


def _name(axes: Axes, names: Sequence[str], places: Sequence[int]) -> None:
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", labelsize=7.5, length=0)
    axes.set_ylim(max(places, default=0) + 0.7, -0.6)


def _head_fields(axes: Axes, headings: Sequence[str], places: Sequence[int]) -> None:
    before = None
    for heading, place in zip(headings, places, strict=True):
        if heading != before:
            axes.annotate(
                heading,
                (0, place - 1),
                xycoords=axes.get_yaxis_transform(),
                xytext=(-4, 0),
                textcoords="offset points",
                size=8,
                weight="bold",
                color=INK,
                ha="right",
                va="center",
            )
        before = heading


def _rule(axes: Axes) -> None:
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
