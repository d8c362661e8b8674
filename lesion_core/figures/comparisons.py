"""Recipes side by side: their scores, their differences, their sensitivities, and how they learnt."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lesion_core.figures.canvas import (
    ACCENT,
    CATEGORY_COLOURS,
    INK,
    MUTED,
    RULE,
    WARNING,
    Sheet,
    Subject,
    folded,
    head,
)
from lesion_core.labels import CLASS_ORDER, MALIGNANT, N_CLASSES
from lesion_core.statistics.estimates import Estimate

_ROW_INCHES = 0.46
_NAME_LETTERS = 34
_LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))


def draw_differences(
    rows: Sequence[tuple[str, Estimate, float | None]], reference: str, path: Path, subject: Subject
) -> Path:
    """Draw each recipe's difference from the reference with its interval; return ``path``.

    Args:
        rows: (recipe, difference in balanced accuracy, share of resamples in which it is better), drawn from the top.
        reference: What they are held against.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet(f"Balanced accuracy minus that of {reference}", subject, width=8.4, height=_height(len(rows)))
    axes = sheet.axes()[0]
    axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for row, (_, difference, better) in enumerate(rows):
        if difference.value is None:
            axes.text(0, row, " no fold in common", size=8, color=MUTED, va="center")
            continue
        is_clear = difference.low is not None and difference.high is not None and difference.low * difference.high > 0
        _interval(axes, row, difference, ACCENT if is_clear else MUTED, filled=is_clear)
        said = f"{difference.value:+.3f}" + ("" if better is None else f"   {better:.0%}")
        axes.text(1.02, row, said, transform=axes.get_yaxis_transform(), size=8.5, color=INK, va="center")
    if not rows:
        axes.text(0.5, 0.5, "one recipe only", transform=axes.transAxes, size=9, color=MUTED, ha="center")
    _name_rows(axes, [name for name, _, _ in rows])
    axes.set(xlabel=f"worse   ←   difference from {folded(reference, 60)}   →   better")
    head(
        axes,
        "95 % intervals that hold together, paired by group. Right: difference, share of resamples that are better",
    )
    return sheet.save(path)


def draw_scores(
    rows: Sequence[tuple[str, Estimate, Sequence[float]]], chance: float, path: Path, subject: Subject
) -> Path:
    """Draw each recipe's mean with its interval, and every run as a dot; return ``path``.

    Args:
        rows: (recipe, mean balanced accuracy, that of every run), drawn from the top.
        chance: Level of a guess; drawn where it is in reach.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Balanced accuracy", subject, width=8.4, height=_height(len(rows)))
    axes = sheet.axes()[0]
    for row, (_, mean, runs) in enumerate(rows):
        axes.plot(runs, np.full(len(runs), row + 0.22), "o", color=WARNING, markersize=4, alpha=0.75)
        _interval(axes, row, mean, ACCENT, filled=True)
        if mean.value is not None:
            axes.text(
                1.02, row, f"{mean.value:.3f}", transform=axes.get_yaxis_transform(), size=8.5, color=INK, va="center"
            )
    low, high = axes.get_xlim()
    if chance > low - 0.5 * (high - low):
        axes.axvline(chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(chance, -0.72, " chance", size=7.5, color=MUTED, va="center")
    _name_rows(axes, [name for name, _, _ in rows])
    axes.set(xlabel="balanced accuracy")
    head(axes, "Blue: mean of the folds, with 95 % interval. Brown: single runs (fold and seed)")
    return sheet.save(path)


def draw_sensitivities(names: Sequence[str], sensitivities: np.ndarray, path: Path, subject: Subject) -> Path:
    """Draw each recipe's sensitivity of each class as a table shaded by value; return ``path``.

    Args:
        names: Recipes, drawn from the top.
        sensitivities: float (recipes, k), 0 to 1, NaN where not known.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Sensitivity by class", subject, width=8.4, height=_height(len(names)))
    axes = sheet.axes()[0]
    axes.imshow(np.ma.masked_invalid(sensitivities), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*sensitivities.shape):
        value = sensitivities[row, column]
        text, colour = ("–", MUTED) if np.isnan(value) else (f"{value:.2f}", "white" if value > 0.55 else INK)
        is_best = len(names) > 1 and value >= np.nanmax(sensitivities[:, column], initial=0)
        weight = "bold" if is_best else "normal"
        axes.text(column, row, text, ha="center", va="center", size=9, color=colour, weight=weight)
    axes.set_xticks(range(N_CLASSES), [str(name) for name in CLASS_ORDER])
    for label, diagnosis in zip(axes.get_xticklabels(), CLASS_ORDER, strict=True):
        label.set_color(WARNING if diagnosis in MALIGNANT else INK)
    axes.set_yticks(range(len(names)), [folded(name, _NAME_LETTERS) for name in names])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    head(axes, "Share of each class that is found, all folds together. Brown: malignant. Bold: best")
    return sheet.save(path)


def draw_curves(curves: Mapping[str, Sequence[np.ndarray]], path: Path, subject: Subject) -> Path:
    """Draw the validation score by epoch: each recipe's mean over its runs, and their range; return ``path``.

    Args:
        curves: By recipe, one array of balanced accuracies per run, epoch by epoch, NaN where not measured; runs may
            differ in length, and the mean of an epoch is over those that reached it.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Validation score by epoch", subject, width=8.4, height=4.2)
    axes = sheet.axes()[0]
    styles = itertools.cycle(itertools.product(_LINES, CATEGORY_COLOURS))
    for (name, runs), (line, colour) in zip(curves.items(), styles, strict=False):
        scores = _padded(runs)
        epochs = np.flatnonzero(~np.isnan(scores).all(axis=0))
        if not len(epochs):
            continue
        seen = scores[:, epochs]
        axes.fill_between(
            epochs + 1, np.nanmin(seen, axis=0), np.nanmax(seen, axis=0), color=colour, alpha=0.13, lw=0
        )
        label = folded(name, _NAME_LETTERS)
        axes.plot(epochs + 1, np.nanmean(seen, axis=0), color=colour, linestyle=line, linewidth=1.7, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set(xlabel="epoch", ylabel="balanced accuracy on validation")
    if axes.has_data():
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False, labelcolor=INK)
    head(axes, "Line: mean of the runs. Band: lowest to highest run")
    return sheet.save(path)


def _padded(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Return runs of different lengths as one array (runs, epochs), NaN after a run's end."""
    longest = max((len(run) for run in runs), default=0)
    return np.array([np.pad(run.astype(float), (0, longest - len(run)), constant_values=np.nan) for run in runs])


def _height(n_rows: int) -> float:
    return 1.15 + _ROW_INCHES * max(n_rows, 1)


def _interval(axes: Axes, row: int, estimate: Estimate, colour: str, *, filled: bool) -> None:
    if estimate.low is not None and estimate.high is not None:
        axes.hlines(row, estimate.low, estimate.high, color=colour, linewidth=2)
    if estimate.value is not None:
        fill = colour if filled else "white"
        axes.plot(estimate.value, row, "o", color=colour, markersize=7, markerfacecolor=fill)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [folded(name, _NAME_LETTERS) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(names), 1) - 0.4, -0.9)
    axes.margins(x=0.08)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
