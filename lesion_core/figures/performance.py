"""How well a model does: confusion, ROC, precision and recall, reliability, sensitivity by class, net benefit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lesion_core.figures.canvas import (
    ACCENT,
    CLASS_COLOURS,
    INK,
    MUTED,
    RULE,
    WARNING,
    Sheet,
    Subject,
    head,
)
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER, MALIGNANT, N_CLASSES, Diagnosis
from lesion_core.statistics.decision_curve import DecisionCurve
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.metrics import PrecisionRecallCurve, Reliability, RocCurve


def draw_confusion_matrix(confusion: np.ndarray, path: Path, subject: Subject) -> Path:
    """Draw counts, int (k, k), shaded by their share of the true class; return ``path``."""
    sheet = Sheet("Confusion matrix", subject, width=7.6, height=6.4)
    axes = sheet.axes()[0]
    support = confusion.sum(axis=1)
    shares = confusion / np.maximum(support, 1)[:, None]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*confusion.shape):
        _write_cell(axes, row, column, int(confusion[row, column]), float(shares[row, column]), support[row] > 0)
    names = [str(name) for name in CLASS_ORDER]
    axes.set_xticks(range(N_CLASSES), names)
    axes.set_yticks(
        range(N_CLASSES), [f"{name}  (n = {n:,})" for name, n in zip(names, support.tolist(), strict=True)]
    )
    axes.set(xlabel="predicted as", ylabel="true class")
    axes.set_xticks(np.arange(-0.5, N_CLASSES), minor=True)
    axes.set_yticks(np.arange(-0.5, N_CLASSES), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    head(axes, "Images, and their share of the true class (diagonal: sensitivity)")
    return sheet.save(path)


def _write_cell(axes: Axes, row: int, column: int, count: int, share: float, is_known: bool) -> None:
    if not is_known:
        axes.text(column, row, "–", ha="center", va="center", size=8, color=RULE)
        return
    colour = "white" if share > 0.55 else INK if count else RULE
    weight = "bold" if row == column else "normal"
    axes.text(column, row - 0.13, f"{count:,}", ha="center", va="center", size=9.5, color=colour, weight=weight)
    if count:
        axes.text(column, row + 0.22, f"{share:.0%}", ha="center", va="center", size=7, color=colour)


def draw_roc(
    curves: Mapping[Diagnosis, RocCurve | None], aucs: Mapping[Diagnosis, Estimate], path: Path, subject: Subject
) -> Path:
    """Draw each class's curve against the rest, malignant classes on the left; return ``path``."""
    sheet = Sheet("ROC curves, one class against the rest", subject, width=9.4, height=4.9)
    for axes, names in _two_panels(sheet, "1 − specificity", "sensitivity"):
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1, linestyle=(0, (4, 3)))
        for diagnosis in names:
            curve = curves.get(diagnosis)
            line = None if curve is None else (curve.false_positive_rate, curve.true_positive_rate)
            _plot_curve(axes, diagnosis, line, "AUC", aucs.get(diagnosis))
        axes.legend(loc="lower right", fontsize=7.8, frameon=False, labelcolor=INK, handlelength=1.6)
    return sheet.save(path)


def draw_precision_recall(
    curves: Mapping[Diagnosis, PrecisionRecallCurve | None],
    areas: Mapping[Diagnosis, Estimate],
    shares: Mapping[Diagnosis, float],
    path: Path,
    subject: Subject,
) -> Path:
    """Draw each class's precision by its recall, malignant classes on the left; return ``path``.

    Args:
        curves: One class against the rest; drawn in steps, as the area counts them.
        areas: PR AUC.
        shares: Share of the class among the images: the precision of a guess, drawn as a dotted line.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Precision and recall, one class against the rest", subject, width=9.4, height=4.9)
    for axes, names in _two_panels(sheet, "recall (sensitivity)", "precision"):
        for diagnosis in names:
            curve = curves.get(diagnosis)
            line = None if curve is None else (curve.recall, curve.precision)
            _plot_curve(axes, diagnosis, line, "PR AUC", areas.get(diagnosis), drawstyle="steps-post")
            if curve is not None and diagnosis in shares:
                colour = CLASS_COLOURS[CLASS_ORDER.index(diagnosis)]
                axes.axhline(shares[diagnosis], color=colour, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=7.8, frameon=False, labelcolor=INK, ncols=2
        )
    return sheet.save(path)


def _two_panels(sheet: Sheet, x: str, y: str) -> list[tuple[Axes, list[Diagnosis]]]:
    """Return square axes from 0 to 1 for the malignant classes and for the others."""
    left, right = sheet.axes(1, 2, sharey=True)
    for axes, text in ((left, "Malignant"), (right, "Not malignant")):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, aspect="equal")
        head(axes, text)
    left.set_ylabel(y)
    others = [name for name in CLASS_ORDER if name not in MALIGNANT]
    return [(left, list(MALIGNANT)), (right, others)]


def _plot_curve(
    axes: Axes,
    diagnosis: Diagnosis,
    line: tuple[np.ndarray, np.ndarray] | None,
    name: str,
    area: Estimate | None,
    **options: Any,
) -> None:
    colour = CLASS_COLOURS[CLASS_ORDER.index(diagnosis)]
    if line is None or area is None:
        axes.plot([], [], color=colour, linewidth=1.6, label=f"{diagnosis}  no images in this split")
        return
    axes.plot(*line, color=colour, linewidth=1.6, label=f"{diagnosis}  {name} {area.in_words(2)}", **options)


def draw_decision_curve(curve: DecisionCurve, path: Path, subject: Subject) -> Path:
    """Draw net benefit of the model, and of calling everything or nothing malignant; return ``path``."""
    sheet = Sheet("Decision curve, malignant by the summed probability", subject, width=6.8, height=4.6)
    axes = sheet.axes()[0]
    lines = (
        ("model", curve.model, ACCENT, "-"),
        ("everything called malignant", curve.treat_all, WARNING, (0, (4, 3))),
        ("nothing called malignant", curve.treat_none, MUTED, (0, (1, 2))),
    )
    for label, values, colour, style in lines:
        axes.plot(curve.thresholds, values, color=colour, linewidth=1.6, linestyle=style, label=label)
    highest = max(*curve.model, *curve.treat_all, 0.01)
    axes.set(
        xlim=(0, max(curve.thresholds)),
        ylim=(-0.25 * highest, 1.08 * highest),
        xlabel="threshold probability",
        ylabel="net benefit (per image)",
    )
    axes.legend(loc="upper right", fontsize=8, frameon=False, labelcolor=INK)
    head(axes, f"At the images' own prevalence, {curve.prevalence:.1%} malignant")
    return sheet.save(path)


def draw_reliability(bins: Reliability, error: Estimate, path: Path, subject: Subject) -> Path:
    """Draw how often the leading class is right against how probable it was said to be; return ``path``."""
    sheet = Sheet("Reliability", subject, width=5.6, height=5.6)
    top, bottom = sheet.axes(2, 1, sharex=True, height_ratios=[3.4, 1])
    filled = bins.count > 0
    n_bins = len(bins.count)
    count = np.maximum(bins.count, 1)
    said, right = bins.confidence_sum / count, bins.correct_sum / count
    top.plot([0, 1], [0, 1], color=RULE, linewidth=1, linestyle=(0, (4, 3)))
    top.vlines(said[filled], np.minimum(said, right)[filled], np.maximum(said, right)[filled], color=WARNING, lw=1.2)
    top.plot(said[filled], right[filled], color=ACCENT, linewidth=1.4, marker="o", markersize=5)
    top.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share that is right")
    head(top, f"Expected calibration error {error.in_words()}" if error.value is not None else "")
    bottom.bar((np.arange(n_bins) + 0.5) / n_bins, bins.count, width=0.9 / n_bins, color=ACCENT, alpha=0.75)
    bottom.set(xlabel="probability of the leading class", ylabel="images")
    return sheet.save(path)


def draw_sensitivity(
    classes: Sequence[tuple[Diagnosis, int, int, Estimate]], chance: float, path: Path, subject: Subject
) -> Path:
    """Draw each class's sensitivity with its interval; return ``path``.

    Args:
        classes: (class, images, groups, sensitivity), drawn from the top.
        chance: Level of a guess, drawn as a line.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet("Sensitivity by class, with 95 % intervals", subject, width=7.2, height=4.0)
    axes = sheet.axes()[0]
    axes.axvline(chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(chance + 0.008, -0.62, "chance", size=7.5, color=MUTED, va="center")
    for row, (diagnosis, _, _, estimate) in enumerate(classes):
        colour = WARNING if diagnosis in MALIGNANT else ACCENT
        if estimate.value is None:
            axes.text(
                0.008, row, "no images in this split", size=8, color=MUTED, va="center", backgroundcolor="white"
            )
            continue
        if estimate.low is not None and estimate.high is not None:
            axes.hlines(row, estimate.low, estimate.high, color=colour, linewidth=2)
        is_wilson = estimate.method == "Wilson"
        axes.plot(
            estimate.value, row, "o", color=colour, markersize=7, markerfacecolor="white" if is_wilson else colour
        )
        axes.text(1.03, row, f"{estimate.value:.2f}", size=8.5, color=INK, va="center")
    axes.set_yticks(
        range(len(classes)),
        [f"{CLASS_NAMES[name]} ({name})\n{n:,} images, {g:,} groups" for name, n, g, _ in classes],
    )
    axes.tick_params(axis="y", labelsize=7.5, length=0)
    axes.set(xlim=(-0.015, 1.1), ylim=(len(classes) - 0.5, -0.9), xlabel="sensitivity")
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    head(axes, "Brown: malignant. Open circle: few groups, Wilson interval")
    return sheet.save(path)
