"""The analyses as figures: subgroups.png and stress.png."""

from pathlib import Path

from lesion_core import figures
from lesion_core.evaluation.analysis.results import GapMeasure, Stress, Subgroups
from lesion_core.statistics.estimates import Estimate

_PANELS: tuple[GapMeasure, ...] = ("malignant sensitivity", "balanced accuracy")


def write_subgroups(
    folder: Path,
    found: Subgroups,
    subject: figures.Subject,
    *,
    malignant_sensitivity: Estimate,
    balanced_accuracy: Estimate,
) -> Path:
    """Draw subgroups.png; the estimates are those of all images."""
    gaps = {(gap.field, gap.value, gap.measure) for gap in found.gaps if gap.is_found}
    rows = [
        figures.ForestRow(
            field=one.field,
            value=one.value,
            n_images=one.n_images,
            n_groups=one.n_groups,
            estimates=(one.scores.malignant_sensitivity, one.scores.balanced_accuracy) if one.scores else (),
            is_gap=tuple((one.field, one.value, measure) in gaps for measure in _PANELS),
        )
        for one in found.subgroups
    ]
    panels = list(zip(_PANELS, (malignant_sensitivity, balanced_accuracy), strict=True))
    return figures.draw_subgroups(rows, panels, folder / "subgroups.png", subject)


def write_stress(folder: Path, found: Stress, subject: figures.Subject) -> Path:
    """Draw stress.png."""
    rows = [
        figures.ChangeRow(
            perturbation=one.perturbation,
            amount=one.amount,
            flips=one.flips,
            malignant_flips=one.malignant_flips,
            balanced_accuracy=one.balanced_accuracy.difference,
        )
        for one in found.rows_by_change
    ]
    return figures.draw_stress(rows, folder / "stress.png", subject)
