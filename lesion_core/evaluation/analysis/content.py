"""Everything that is measured of a model besides its scores: content of ``analyses.json`` in a report's folder."""

from pydantic import Field

from lesion_core.evaluation.analysis.decisions import ReachedPoint
from lesion_core.evaluation.analysis.instability import Instability
from lesion_core.evaluation.analysis.out_of_distribution import FalseAlarms
from lesion_core.evaluation.analysis.prediction_sets import SetCoverage
from lesion_core.evaluation.analysis.results import MissingMetadata, Stress, Subgroups
from lesion_core.evaluation.analysis.sanity import Finding, ImageInterval
from lesion_core.evaluation.cases.error_clusters import ErrorClusters
from lesion_core.evaluation.cases.explanations import ExplanationChecks
from lesion_core.evaluation.cases.label_noise import LabelNoise
from lesion_core.statistics.selective import RiskCoverage
from lesion_core.types import Value


class Analyses(Value):
    """What was found; ``None`` where there is nothing to measure: the model is of an older version.

    Operating points and sets are ``None``, too, where a label of an external test stands for several classes.
    """

    decisions: tuple[ReachedPoint, ...] | None = Field(description="Its operating points, as they were reached")
    sets: tuple[SetCoverage, ...] | None = Field(description="Its conformal sets, by rising coverage")
    selective: RiskCoverage = Field(description="Risk by coverage, ordered by the leading probability")
    instability: Instability = Field(description="Over turned and mirrored views")
    subgroups: Subgroups
    missing_metadata: MissingMetadata | None = Field(description="None: the model takes no metadata")
    stress: Stress
    out_of_distribution: FalseAlarms | None = Field(description="None: the model has no such score")
    intervals: ImageInterval = Field(description="By group, and what counting images would have made of it")
    findings: tuple[Finding, ...] = Field(description="What looks like a mistake")
    clusters: ErrorClusters = Field(description="What errors of the malignant decision have in common")
    label_noise: LabelNoise = Field(description="Images whose label is doubtful")
    explanations: ExplanationChecks = Field(description="Whether the maps depend on what they should")
