"""Risk and coverage: how much better the answers are that the model is surer of.

Images are taken from the surest down; the risk of a coverage is the share of wrong answers among those taken
(El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification", JMLR 11; Geifman and El-Yaniv
2017, arXiv:1705.08500).
"""

import numpy as np
from pydantic import Field

from lesion_core.types import Value

COVERAGES = tuple(round(0.05 * step, 2) for step in range(1, 21))


class RiskCoverage(Value):
    """The curve, at steps of 5 %, and its area."""

    coverage: tuple[float, ...] = Field(description="Share of the images that are answered")
    risk: tuple[float, ...] = Field(description="Share of wrong answers among them")
    missed_malignant: tuple[float | None, ...] = Field(
        description="Share of malignant images among them whose leading class is not malignant; none: there are none"
    )
    area: float = Field(description="Mean risk over all coverages (AURC); lower is better")
    area_of_best: float = Field(description="The same if every wrong answer were less sure than every right one")


def risk_coverage(
    confidence: np.ndarray, wrong: np.ndarray, malignant: np.ndarray, missed: np.ndarray
) -> RiskCoverage:
    """Return the curve; images that are equally sure share their risk.

    Args:
        confidence: float (n,), n at least 1; higher is surer.
        wrong: bool (n,).
        malignant: bool (n,), of a malignant class.
        missed: bool (n,), those of them that are called benign.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    risks = _running_share(confidence[order], wrong[order].astype(np.float64))
    n = len(order)
    taken = [max(1, round(share * n)) for share in COVERAGES]
    n_malignant, n_missed = np.cumsum(malignant[order]), np.cumsum(missed[order])
    n_wrong = int(np.sum(wrong))
    best = np.maximum(np.arange(1, n + 1) - (n - n_wrong), 0) / np.arange(1, n + 1)
    return RiskCoverage(
        coverage=COVERAGES,
        risk=tuple(float(risks[k - 1]) for k in taken),
        missed_malignant=tuple(
            float(n_missed[k - 1] / n_malignant[k - 1]) if n_malignant[k - 1] else None for k in taken
        ),
        area=float(risks.mean()),
        area_of_best=float(best.mean()),
    )


def _running_share(confidence: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return the risk of each number of images, float (n,); within ties every image counts as their average."""
    _, tie = np.unique(-confidence, return_inverse=True)
    average = np.bincount(tie, wrong) / np.bincount(tie)
    return np.asarray(np.cumsum(average[tie]) / np.arange(1, len(wrong) + 1))
