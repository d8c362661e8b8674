"""What a trial is: one recipe of a search, trained and scored on validation; and what its study says to it."""

from pydantic import Field

from lesion_core.keys import digest_of, trial_key
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, TrialRef
from lesion_core.training.output_key import training_inputs
from lesion_core.training.spec import TrainJob
from lesion_core.types import JsonDict, StoreKey, Value


class TrialJob(Value):
    """Train one recipe on one dataset and keep how well it did on validation, without the model."""

    recipe: Recipe
    dataset: DatasetRef
    fold: int | None = Field(default=None, ge=0, description="Fold to leave out for testing; none: the own splits")

    def training(self) -> TrainJob:
        """Return the training that this trial carries out."""
        return TrainJob(recipe=self.recipe, dataset=self.dataset, fold=self.fold)


class TrialOrder(Value):
    """A trial as a study asks for it."""

    study: str = Field(description="Name of the study, under which its signals lie")
    number: int = Field(ge=0, description="Number of the trial in the study")
    channel: int = Field(
        ge=0, description="Number under which its signals lie: that of the trial it continues, or its own"
    )
    job: TrialJob
    n_epochs: int = Field(ge=1, description="Epochs of all its stages")
    is_judged: bool = Field(description="Whether it waits after each epoch to hear whether it may go on")


class TrialOutcome(Value):
    """How a trial ended that did not fail."""

    trial: TrialRef | None = Field(default=None, description="What it left; none: it was given up")
    stopped_after: int | None = Field(default=None, ge=1, description="Epoch after which it was given up")

    def in_words(self) -> str:
        """Return the outcome as one phrase."""
        if self.trial is None:
            return f"pruned after epoch {self.stopped_after}"
        return f"{self.trial.score:.4f} on validation, best epoch {self.trial.best_epoch}"


def trial_inputs(job: TrialJob) -> JsonDict:
    """Return everything that a trial depends on; raises as ``training_inputs``."""
    return {**training_inputs(job.training()), "fold": job.fold, "kind": "trial"}


def trial_key_of(job: TrialJob) -> StoreKey:
    """Return the folder of what ``job`` leaves; raises as ``training_inputs``."""
    return trial_key(job.recipe.name, digest_of(trial_inputs(job)))
