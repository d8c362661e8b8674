"""What became of a training: its history, and the images that its model gets wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lesion_core.figures.canvas import ACCENT, INK, MUTED, RULE, WARNING, Sheet, Subject, head
from lesion_core.labels import CLASS_ORDER, MALIGNANT, Diagnosis

_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class Case:
    """One image as the model saw it, and what it said."""

    isic_id: str
    pixels: np.ndarray  # uint8 (h, w, 3)
    truth: Diagnosis
    probs: np.ndarray  # (k,)


def draw_history(history: pd.DataFrame, path: Path, subject: Subject) -> Path:
    """Draw a training's loss and validation score by epoch; return ``path``.

    Args:
        history: One row per epoch with ``epoch``, ``loss``, ``val_balanced_accuracy``, and ``stage`` if known; with
            ``member`` where several networks were trained, each of which has a line.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Training history", subject, width=8.0, height=3.5)
    left, right = sheet.axes(1, 2)
    parts = [part for _, part in history.groupby("member")] if "member" in history else [history]
    alpha = 1.0 if len(parts) == 1 else 0.5
    best = [_draw_network(left, right, part, alpha=alpha) for part in parts]
    left.set(xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="balanced accuracy")
    head(left, "Training loss")
    head(right, _what_was_kept([each for each in best if each is not None], len(parts)))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _mark_stages(axes, parts[0])
    return sheet.save(path)


def _draw_network(left: Axes, right: Axes, history: pd.DataFrame, *, alpha: float) -> tuple[int, float] | None:
    """Draw one network's lines; return epoch and score of what was kept, if there was anything to validate on."""
    epochs = history["epoch"].to_numpy()
    score = history["val_balanced_accuracy"].to_numpy(dtype=float)
    for axes, values in ((left, history["loss"]), (right, score)):
        axes.plot(epochs, values, color=ACCENT, linewidth=1.6, marker="o", markersize=3.5, alpha=alpha)
    if not np.isfinite(score).any():
        return None
    best = int(np.nanargmax(score))
    right.plot(epochs[best], score[best], "o", color=WARNING, markersize=7)
    return int(epochs[best]), float(score[best])


def _what_was_kept(best: list[tuple[int, float]], n_networks: int) -> str:
    if not best:
        return "Validation"
    if n_networks == 1:
        return f"Validation: epoch {best[0][0]} kept, {best[0][1]:.3f}"
    return f"Validation: {n_networks} networks, mean {np.mean([score for _, score in best]):.3f}"


def _mark_stages(axes: Axes, history: pd.DataFrame) -> None:
    """Draw a line where all layers begin to train."""
    if "stage" not in history:
        return
    stages = history["stage"].tolist()
    for row in range(1, len(stages)):
        if stages[row] != stages[row - 1]:
            axes.axvline(float(history["epoch"].iloc[row]) - 0.5, color=RULE, linewidth=1, linestyle=(0, (4, 3)))


def draw_misclassified(cases: Sequence[Case], n_wrong: int, path: Path, subject: Subject) -> Path:
    """Draw a contact sheet of misclassified images with truth and probabilities; return ``path``.

    Args:
        cases: What is shown, in this order.
        n_wrong: How many were misclassified in all.
        path: Where to.
        subject: Of what.
    """
    rows = max(1, math.ceil(len(cases) / _COLUMNS))
    title = (
        f"Misclassified images: {len(cases):,} of {n_wrong:,}, missed malignant in bold"
        if cases
        else "Misclassified images: none"
    )
    sheet = Sheet(title, subject, width=_COLUMNS * 1.75, height=max(rows * 2.2, 0.4))
    if not cases:
        return sheet.save(path)
    for axes, case in zip(
        sheet.axes(rows, _COLUMNS), [*cases, *[None] * (rows * _COLUMNS - len(cases))], strict=True
    ):
        _draw_case(axes, case)
    return sheet.save(path)


def _draw_case(axes: Axes, case: Case | None) -> None:
    axes.set_axis_off()
    if case is None:
        return
    axes.imshow(case.pixels)
    predicted = CLASS_ORDER[int(case.probs.argmax())]
    is_missed = case.truth in MALIGNANT and predicted not in MALIGNANT
    axes.set_title(
        f"is {case.truth}, called {predicted}",
        size=8,
        color=WARNING if is_missed else INK,
        weight="bold" if is_missed else "normal",
        loc="left",
        pad=3,
    )
    leading = np.argsort(-case.probs, kind="stable")[:2]
    named = [*leading, CLASS_ORDER.index(case.truth)] if CLASS_ORDER.index(case.truth) not in leading else leading
    words = "  ".join(f"{CLASS_ORDER[place]} {case.probs[place]:.2f}" for place in named)
    axes.text(0, -0.03, f"{words}\n{case.isic_id}", size=6.3, color=MUTED, va="top", transform=axes.transAxes)
