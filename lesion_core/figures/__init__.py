"""Figures of data, training and evaluation, as PNG files; the only home of matplotlib."""

from lesion_core.figures.architecture import draw_architecture
from lesion_core.figures.canvas import Subject
from lesion_core.figures.comparisons import (
    draw_curves,
    draw_differences,
    draw_scores,
    draw_sensitivities,
)
from lesion_core.figures.composition import (
    Grid,
    Panel,
    draw_ages,
    draw_class_distribution,
    draw_grid,
    draw_panels,
    name_rows,
)
from lesion_core.figures.image_grids import draw_samples, draw_shortcuts, draw_sizes
from lesion_core.figures.outcome import Case, draw_history, draw_misclassified
from lesion_core.figures.performance import (
    draw_confusion_matrix,
    draw_decision_curve,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
    draw_sensitivity,
)
from lesion_core.figures.robustness import ChangeRow, ForestRow, draw_stress, draw_subgroups
from lesion_core.figures.uncertainty import draw_coverage, draw_risk_coverage

__all__ = [
    "Case",
    "ChangeRow",
    "ForestRow",
    "Grid",
    "Panel",
    "Subject",
    "draw_ages",
    "draw_architecture",
    "draw_class_distribution",
    "draw_confusion_matrix",
    "draw_coverage",
    "draw_curves",
    "draw_decision_curve",
    "draw_differences",
    "draw_grid",
    "draw_history",
    "draw_misclassified",
    "draw_panels",
    "draw_precision_recall",
    "draw_reliability",
    "draw_risk_coverage",
    "draw_roc",
    "draw_samples",
    "draw_scores",
    "draw_sensitivities",
    "draw_sensitivity",
    "draw_shortcuts",
    "draw_sizes",
    "draw_stress",
    "draw_subgroups",
    "name_rows",
]
