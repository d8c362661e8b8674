"""Figures of data, training and evaluation, as PNG files; the only home of matplotlib."""

from lesion_core.evaluation.figures.architecture import draw_architecture
from lesion_core.evaluation.figures.canvas import Subject
from lesion_core.evaluation.figures.data import Case, draw_class_distribution, draw_history, draw_misclassified
from lesion_core.evaluation.figures.performance import (
    draw_confusion_matrix,
    draw_reliability,
    draw_roc,
    draw_sensitivity,
)

__all__ = [
    "Case",
    "Subject",
    "draw_architecture",
    "draw_class_distribution",
    "draw_confusion_matrix",
    "draw_history",
    "draw_misclassified",
    "draw_reliability",
    "draw_roc",
    "draw_sensitivity",
]
