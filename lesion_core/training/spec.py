"""What a training child is asked to do."""

from pydantic import Field

from lesion_core.modeling.recipe import Recipe
from lesion_core.types import DatasetRef, Value


class TrainJob(Value):
    """Train one recipe on one dataset."""

    recipe: Recipe
    dataset: DatasetRef
    fold: int | None = Field(
        default=None, ge=0, description="Fold to leave out for testing; none: the dataset's own four splits"
    )
    start_from: str | None = Field(default=None, description="Model id whose weights to start from (fine-tuning)")
