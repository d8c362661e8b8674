"""How far answers can be relied on: risk against coverage, and what conformal sets hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lesion_core.figures.canvas import ACCENT, INK, MUTED, RULE, WARNING, Sheet, Subject, head
from lesion_core.labels import CLASS_NAMES, MALIGNANT, Diagnosis
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.selective import RiskCoverage


def draw_risk_coverage(curve: RiskCoverage, path: Path, subject: Subject) -> Path:
    """Draw the shares of wrong answers and of missed malignant images by the share answered; return ``path``."""
    sheet = Sheet("Risk and coverage", subject, width=6.4, height=4.2)
    axes = sheet.axes()[0]
    coverage = np.array(curve.coverage)
    missed = np.array([np.nan if value is None else value for value in curve.missed_malignant])
    axes.axhline(curve.risk[-1], color=RULE, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(coverage, curve.risk, color=ACCENT, linewidth=1.8, marker="o", markersize=3.5, label="wrong answers")
    axes.plot(
        coverage, missed, color=WARNING, linewidth=1.8, marker="s", markersize=3.5, label="malignant called benign"
    )
    axes.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of images answered, the surest first", ylabel="share")
    axes.legend(loc="upper left", fontsize=8, frameon=False, labelcolor=INK)
    head(axes, f"Mean risk {curve.area:.3f}; at best {curve.area_of_best:.3f}. Dashed: risk if all are answered")
    return sheet.save(path)


def draw_coverage(
    classes: Sequence[tuple[Diagnosis, Estimate, Estimate, bool]], wanted: float, path: Path, subject: Subject
) -> Path:
    """Draw, for each class, how often conformal sets hold it and how large they are; return ``path``.

    Args:
        classes: (class, coverage, mean size, whether it was pooled), drawn from the top.
        wanted: Stated coverage, drawn as a line.
        path: Where to.
        subject: Of what.
    """
    sheet = Sheet(f"Conformal sets with a stated coverage of {wanted:.0%}", subject, width=8.4, height=4.0)
    left, right = sheet.axes(1, 2, sharey=True, width_ratios=[1.5, 1])
    left.axvline(wanted, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for row, (diagnosis, coverage, size, _) in enumerate(classes):
        colour = WARNING if diagnosis in MALIGNANT else ACCENT
        if coverage.value is None or size.value is None:
            left.text(0.01, row, "no images in this split", size=8, color=MUTED, va="center", backgroundcolor="white")
            continue
        if coverage.low is not None and coverage.high is not None:
            left.hlines(row, coverage.low, coverage.high, color=colour, linewidth=2)
        left.plot(coverage.value, row, "o", color=colour, markersize=7)
        right.barh(row, size.value, height=0.55, color=colour, alpha=0.8)
        right.text(size.value + 0.08, row, f"{size.value:.2f}", size=8.5, color=INK, va="center")
    names = [f"{CLASS_NAMES[name]} ({name})" + ("*" if pooled else "") for name, _, _, pooled in classes]
    left.set_yticks(range(len(classes)), names)
    left.tick_params(axis="y", labelsize=8, length=0)
    left.set(
        xlim=(-0.015, 1.03), ylim=(len(classes) - 0.5, -0.5), xlabel="share of images whose set holds their class"
    )
    largest = max((size.value or 0.0 for _, _, size, _ in classes), default=1.0)
    right.set(xlim=(0, max(largest, 1.0) * 1.18), xlabel="classes in the set, mean")
    head(left, "Coverage reached (*: pooled)")
    head(right, "Size of the sets")
    return sheet.save(path)
