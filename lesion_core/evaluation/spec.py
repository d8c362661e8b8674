"""What an evaluation child is asked to do."""

from typing import Literal

from pydantic import Field

from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.types import Value

Split = Literal["validation", "calibration", "test"]


class EvaluateJob(Value):
    """Evaluate one model on one split of one dataset; a model of a fold on a split of that fold."""

    model: ModelRef
    dataset: DatasetRef
    split: Split = "test"
    n_bootstrap: int = Field(default=1000, ge=100, le=100_000, description="Group resamples of the interval")
    seed: int = Field(default=7, ge=0)
    analyses: bool = Field(
        default=True,
        description="Measure what is not in the scores as well: operating points, conformal sets, subgroups, stress, "
        "misclassified images, explanations. A comparison of recipes does without",
    )
    reason: str = Field(
        default="",
        max_length=2000,
        description="Why the recipe is measured on these test images again; noted, no part of the report's name",
    )
    companions: tuple[str, ...] | None = Field(
        default=None,
        description="Ids of the models that were planned together with this one: refuse test images that any other "
        "version of the recipe was measured on. None: look all the same. No part of the report's name",
    )
