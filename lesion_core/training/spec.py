"""What a training child is asked to do."""

from pydantic import Field, model_validator

from lesion_core.recipes.recipe import LARGEST_SEED, Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.types import Sha256, Slug, Value


class Distillation(Value):
    """How a student listens to its teacher; see ``training.distillation``."""

    temperature: float = Field(
        default=3.0, ge=0.5, le=20, description="Both answers are softened by this before they are compared"
    )
    label_weight: float = Field(
        default=0.3, ge=0, lt=1, description="Share of the labels in the loss; the teacher has the rest"
    )


class TrainJob(Value):
    """Train one recipe on one dataset."""

    recipe: Recipe
    dataset: DatasetRef
    fold: int | None = Field(
        default=None, ge=0, description="Fold to leave out for testing; none: the dataset's own four splits"
    )
    start_from: str | None = Field(default=None, description="Model id whose weights to start from (fine-tuning)")
    start_from_sha256: Sha256 | None = Field(default=None, description="Digest of that model's index")
    teacher: str | None = Field(default=None, description="Model id whose answers to learn from (distillation)")
    teacher_sha256: Sha256 | None = Field(default=None, description="Digest of the teacher's index")
    distillation: Distillation = Distillation()

    @model_validator(mode="after")
    def _parent_is_one(self) -> "TrainJob":
        for role in ("teacher", "start_from"):
            if (getattr(self, role) is None) != (getattr(self, f"{role}_sha256") is None):
                raise ValueError(f"{role} and {role}_sha256 name one model version together; give both or neither")
        return self

    def starting_from(self, base: ModelRef) -> "TrainJob":
        """Return this job with a model whose weights it starts from."""
        return self.model_copy(update={"start_from": base.id, "start_from_sha256": base.sha256})

    def taught_by(self, teacher: ModelRef, distillation: Distillation) -> "TrainJob":
        """Return this job with a teacher."""
        named = {"teacher": teacher.id, "teacher_sha256": teacher.sha256, "distillation": distillation}
        return self.model_copy(update=named)


class FineTuning(Value):
    """What a fine-tuning changes in the recipe of the model that it starts from; empty: as it was."""

    name: Slug | None = Field(default=None, description="Name under which the versions are kept")
    epochs: int | None = Field(default=None, ge=1, le=500, description="Passes with all layers training")
    head_epochs: int | None = Field(default=None, ge=0, le=100, description="Passes before that, backbone frozen")
    learning_rate: float | None = Field(default=None, gt=0, le=1, description="With all layers training")
    batch_size: int | None = Field(default=None, ge=1, le=4096, description="Images in a step")
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED, description="Of order, augmentation and dropout")

    def applied_to(self, recipe: Recipe) -> Recipe:
        """Return the recipe with these changes; its description, which is of another training, is left out."""
        given = self.model_dump(exclude_none=True)
        changes = {name: value for name, value in given.items() if name in Recipe.model_fields}
        schedule = {name: value for name, value in given.items() if name not in changes}
        optimisation = recipe.optimisation.model_copy(update=schedule)
        return recipe.model_copy(update={"description": "", "optimisation": optimisation, **changes})
