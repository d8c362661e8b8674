"""The card's table of what a malignant answer, and another one, is worth by how common malignancy is."""

from collections.abc import Iterable

from lesion_core.evaluation.card.content import CardTable
from lesion_core.evaluation.report import Metrics

TITLE = "PPV and NPV by prevalence"


def predictive_tables(metrics: Metrics) -> Iterable[CardTable]:
    """Yield the table; nothing of an older report."""
    rows = metrics.predictive_rows()
    if rows:
        yield CardTable(
            title=TITLE,
            note="Share of malignant answers (PPV) and of other answers (NPV) that would be right, by how common "
            "malignant lesions are.",
            header=("Malignant by", "Prevalence", "PPV (95 % interval)", "NPV (95 % interval)"),
            rows=tuple(tuple(str(cell) for cell in row.values()) for row in rows),
        )
