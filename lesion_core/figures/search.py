"""A search in images: how it went, what was given up, what the score depends on."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from lesion_core.figures.canvas import ACCENT, INK, MUTED, RULE, WARNING, Sheet, Subject, head
from lesion_core.recipes.search_space import Choice, Dimension, Plain

_SCORE = "validation balanced accuracy, smoothed"
_BASE = "#e69f00"


class ShownTrial(Protocol):
    """What is drawn of a trial."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def score(self) -> float | None: ...
    @property
    def epochs(self) -> Mapping[int, float]: ...
    @property
    def values(self) -> Mapping[str, Plain]: ...
    @property
    def is_base(self) -> bool: ...


def draw_history(trials: Sequence[ShownTrial], path: Path, subject: Subject) -> Path:
    """Draw every trial's score by its number, and the best so far; return ``path``."""
    sheet = Sheet("How the search went", subject, width=8.6, height=4.0)
    axes = sheet.axes()[0]
    complete = [trial for trial in trials if trial.score is not None]
    pruned = [trial for trial in trials if trial.state == "pruned" and trial.epochs]
    _dots(axes, [(trial.number, trial.score or 0.0) for trial in complete], ACCENT, "o", "complete")
    _dots(axes, [(t.number, max(t.epochs.values())) for t in pruned], WARNING, "x", "pruned: best epoch until then")
    if complete:
        scores = np.maximum.accumulate([trial.score or 0.0 for trial in complete])
        last = max(trial.number for trial in trials)
        axes.step(
            [*(trial.number for trial in complete), last],
            [*scores, scores[-1]],
            where="post",
            color=ACCENT,
            linewidth=1.2,
            label="best so far",
        )
    for trial in complete:
        if trial.is_base:
            axes.axhline(trial.score or 0.0, color=_BASE, linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
            axes.plot(
                trial.number, trial.score or 0.0, "o", color=_BASE, markersize=8, label="the recipe itself", zorder=3
            )
    axes.set(xlabel="trial", ylabel=_SCORE)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return sheet.save(path)


def draw_epochs(trials: Sequence[ShownTrial], n_epochs: int, path: Path, subject: Subject) -> Path:
    """Draw every trial's selection score by epoch, those that were given up marked where; return ``path``."""
    sheet = Sheet("Trials by epoch", subject, width=8.6, height=4.4)
    axes = sheet.axes()[0]
    shown = [trial for trial in trials if trial.epochs and trial.state in ("complete", "pruned", "failed")]
    best = max((trial.score for trial in shown if trial.score is not None), default=None)
    seen: set[str] = set()
    for trial in sorted(shown, key=lambda trial: (trial.state == "complete", trial.is_base, trial.score or 0.0)):
        colour, width, name = _line_of(trial, best)
        xs, ys = list(trial.epochs), list(trial.epochs.values())
        axes.plot(xs, ys, color=colour, linewidth=width, label=None if name in seen else name, marker=".")
        seen.add(name)
        if trial.state == "pruned":
            axes.plot(xs[-1], ys[-1], "x", color=WARNING, markersize=7, markeredgewidth=1.8)
    axes.set(xlabel="epoch, over all stages", ylabel=_SCORE, xlim=(0.7, n_epochs + 0.3))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return sheet.save(path)


def _line_of(trial: ShownTrial, best: float | None) -> tuple[str, float, str]:
    if trial.state == "pruned":
        return "#e3b38a", 1.0, "pruned (×: where)"
    if trial.is_base:
        return _BASE, 2.2, "the recipe itself"
    if trial.score is not None and trial.score == best:
        return ACCENT, 2.4, "best"
    return ("#9fb8ca", 1.0, "complete") if trial.state == "complete" else (RULE, 1.0, "failed")


def draw_importance(importance: Mapping[str, float], path: Path, subject: Subject) -> Path:
    """Draw the share of the spread between complete trials that each field explains; return ``path``.

    Args:
        importance: By field, sum 1; empty where there is too little to say.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("What the score depends on", subject, width=8.6, height=0.9 + 0.34 * max(len(importance), 3))
    axes = sheet.axes()[0]
    names = list(importance)[::-1]
    shares = [importance[name] for name in names]
    axes.barh(names, shares, color=ACCENT, height=0.62)
    for row, share in enumerate(shares):
        axes.text(share + 0.008, row, f"{share:.2f}", va="center", size=8.5, color=INK)
    if not importance:
        axes.text(0.5, 0.5, "too few complete trials to say", ha="center", transform=axes.transAxes, color=MUTED)
        axes.set_yticks([])
    axes.set(xlim=(0, max([*shares, 0.1]) * 1.12), xlabel="share of the spread between complete trials (fANOVA)")
    return sheet.save(path)


def draw_parallel(trials: Sequence[ShownTrial], space: Mapping[str, Dimension], path: Path, subject: Subject) -> Path:
    """Draw every trial as one line over all fields, complete ones coloured by score; return ``path``."""
    sheet = Sheet("Values of every trial", subject, width=2.2 + 1.45 * (len(space) + 1), height=4.6)
    axes = sheet.axes()[0]
    complete = [trial for trial in trials if trial.score is not None]
    scores = [trial.score for trial in complete if trial.score is not None] or [0.0, 1.0]
    low, high = min(scores), max(scores)
    norm = Normalize(low, high if high > low else low + 1e-9)
    for trial in sorted(trials, key=lambda trial: trial.score if trial.score is not None else -math.inf):
        if set(trial.values) >= set(space) and trial.state in ("complete", "pruned"):
            _draw_line(axes, trial, space, norm)
    for place, (field, dimension) in enumerate(space.items()):
        _draw_axis(axes, place, dimension)
        axes.text(place, -0.09, field.replace(".", ".\n"), ha="center", va="top", size=8, color=INK)
    _draw_scale(axes, len(space), [(0.0, f"{low:.3f}"), (1.0, f"{high:.3f}")])
    axes.text(len(space), -0.09, "score", ha="center", va="top", size=8.5, weight="bold", color=INK)
    axes.set(xlim=(-0.35, len(space) + 0.55), ylim=(-0.2, 1.06))
    axes.axis("off")
    head(axes, "Complete trials by score, dark is high; pruned ones pale, without an end")
    return sheet.save(path)


def _draw_line(axes: Axes, trial: ShownTrial, space: Mapping[str, Dimension], norm: Normalize) -> None:
    ys = [_height(dimension, trial.values[field]) for field, dimension in space.items()]
    if trial.score is None:
        axes.plot(range(len(ys)), ys, color="#e3b38a", linewidth=0.9, alpha=0.7, zorder=1)
        return
    share = float(norm(trial.score))
    colour: Any = _BASE if trial.is_base else _shade(share)
    axes.plot(
        range(len(ys) + 1), [*ys, share], color=colour, linewidth=2.2 if trial.is_base else 1.6, zorder=2 + share
    )


def _shade(share: float) -> tuple[float, float, float]:
    """Return a blue, pale at 0 and dark at 1."""
    pale, dark = np.array([0.78, 0.86, 0.92]), np.array([0.03, 0.19, 0.38])
    red, green, blue = pale + (dark - pale) * share
    return float(red), float(green), float(blue)


def _draw_axis(axes: Axes, place: int, dimension: Dimension) -> None:
    values: Sequence[Plain] = dimension.choices if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    _draw_scale(axes, place, [(_height(dimension, value), _short(value)) for value in values])


def _draw_scale(axes: Axes, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    axes.plot([place, place], [0, 1], color=MUTED, linewidth=1, zorder=4)
    for height, text in ticks:
        axes.plot([place - 0.03, place + 0.03], [height, height], color=MUTED, linewidth=1, zorder=4)
        axes.text(place + 0.06, height, text, va="center", size=7.5, color=INK, zorder=5)


def _height(dimension: Dimension, value: Plain) -> float:
    """Return where a value stands on its axis, from 0 to 1."""
    if isinstance(dimension, Choice):
        return dimension.choices.index(value) / (len(dimension.choices) - 1)
    low, high, here = float(dimension.low), float(dimension.high), float(value or 0)
    if dimension.log:
        low, high, here = math.log(low), math.log(high), math.log(here)
    return (here - low) / (high - low)


def _short(value: Plain) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "none" if value is None else str(value)


def _dots(axes: Axes, points: Sequence[tuple[int, float]], colour: str, marker: str, label: str) -> None:
    if points:
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, marker, color=colour, markersize=6, label=label, zorder=2)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=7.8, frameon=False, labelcolor=INK, handlelength=1.8)
