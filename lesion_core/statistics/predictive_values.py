"""What an answer means where malignancy is as rare as it is in practice: PPV and NPV at stated prevalences.

Both follow from sensitivity and specificity by Bayes' rule, each through one ratio: (1 - specificity) / sensitivity
of the PPV, (1 - sensitivity) / specificity of the NPV. The ratio's interval is made from those of its two parts,
which are of different images and so count as independent, by the method of variance estimates recovery (Donner and
Zou 2012, "Closed-form confidence intervals for functions of the normal mean and standard deviation",
doi:10.1177/0962280210383082). The prevalence is taken as known.
"""

import math
from typing import Literal

from pydantic import Field

from lesion_core.statistics.estimates import Estimate
from lesion_core.types import Value

PREVALENCES = (0.01, 0.05, 0.20)
Decision = Literal["leading class", "summed probability"]


class PredictiveValue(Value):
    """One decision at one prevalence."""

    decision: Decision = Field(
        description="What is called malignant. 'leading class': the most probable class is malignant; 'summed "
        "probability': those of the malignant classes add up to 0.5 or more"
    )
    prevalence: float = Field(gt=0, lt=1, description="Share of malignant lesions, taken as known")
    ppv: Estimate = Field(description="Share of malignant answers that are right; not known where there are none")
    npv: Estimate = Field(description="Share of other answers that are right; not known where there are none")


class PredictiveValues(Value):
    """PPV and NPV; intervals are 'combined' from those of sensitivity and specificity."""

    rows: tuple[PredictiveValue, ...]


def predictive_values(
    decision: Decision, sensitivity: Estimate, specificity: Estimate, prevalences: tuple[float, ...] = PREVALENCES
) -> tuple[PredictiveValue, ...]:
    """Return one decision's row of each prevalence."""
    return tuple(
        PredictiveValue(
            decision=decision,
            prevalence=prevalence,
            ppv=ppv_estimate(sensitivity, specificity, prevalence),
            npv=ppv_estimate(specificity, sensitivity, 1 - prevalence),  # the same, of the other answer
        )
        for prevalence in prevalences
    )


def ppv_estimate(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> Estimate:
    """Return the positive predictive value.

    Not known where nothing is ever called malignant, or where sensitivity or specificity is not; without an interval
    where one of them has none.
    """
    if sensitivity.value is None or specificity.value is None:
        return Estimate(value=None)
    found, alarms = sensitivity.value * prevalence, (1 - specificity.value) * (1 - prevalence)
    if found + alarms <= 0:
        return Estimate(value=None)
    value = found / (found + alarms)
    if sensitivity.low is None or sensitivity.high is None or specificity.low is None or specificity.high is None:
        return Estimate(value=value)
    low, high = ratio_interval(
        (1 - specificity.value, 1 - specificity.high, 1 - specificity.low),
        (sensitivity.value, sensitivity.low, sensitivity.high),
    )
    odds = (1 - prevalence) / prevalence
    return Estimate(value=value, low=1 / (1 + odds * high), high=1 / (1 + odds * low), method="combined")


def ratio_interval(above: tuple[float, float, float], below: tuple[float, float, float]) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of two independent shares; its upper end may be infinite.

    Args:
        above: Value, lower and upper end of the numerator, 0 or more.
        below: The same of the denominator.
    """
    (top, top_low, top_high), (bottom, bottom_low, bottom_high) = above, below
    top_low, bottom_high = min(top_low, top), max(bottom_high, bottom)  # 1 - 1 can be a little more than 0
    middle = top * bottom

    def root(end: float, other: float) -> float:
        reach = middle**2 - end * other * (2 * top - end) * (2 * bottom - other)
        return math.sqrt(max(reach, 0.0))

    lower = middle + root(top_low, bottom_high)
    low = top_low * (2 * top - top_low) / lower if lower > 0 else 0.0
    upper = bottom_low * (2 * bottom - bottom_low)
    high = (middle + root(top_high, bottom_low)) / upper if upper > 0 else math.inf
    return low, high
