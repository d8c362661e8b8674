"""Everything that is measured of a model besides its scores: content of ``analyses.json`` in a report's folder."""

from pydantic import Field

from lesion_core.evaluation.analysis.decisions import ReachedPoint
from lesion_core.evaluation.analysis.instability import Instability
from lesion_core.evaluation.analysis.prediction_sets import SetCoverage
from lesion_core.statistics.selective import RiskCoverage
from lesion_core.types import Value

ANALYSES_NAME = "analyses.json"


class Analyses(Value):
    """What was found; ``None`` where the model has nothing to measure (it is of an older version)."""

    decisions: tuple[ReachedPoint, ...] | None = Field(description="Its operating points, as they were reached")
    sets: tuple[SetCoverage, ...] | None = Field(description="Its conformal sets, by rising coverage")
    selective: RiskCoverage = Field(description="Risk by coverage, ordered by the leading probability")
    instability: Instability | None = Field(default=None, description="Over turned and mirrored views")
