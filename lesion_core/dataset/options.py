"""How a snapshot becomes a dataset, as a form asks it."""

from typing import Self

from pydantic import Field, model_validator

from lesion_core.labels import Diagnosis
from lesion_core.refs import ModelRef
from lesion_core.types import ColourConstancy, LicenceProfile, Slug, Value, is_none


class PrepareOptions(Value):
    """How a snapshot becomes a dataset."""

    name: Slug = Field(default="isic", description="Name of the dataset; its splits are stable under this name")
    size_px: int = Field(default=128, ge=32, le=600, description="Side of the square records in pixels")
    colour_constancy: ColourConstancy = Field(
        default="none",
        exclude_if=is_none,  # so that datasets made without it keep their names
        description="'shades-of-gray' takes the colour of the lamp out of the records",
    )
    validation: float = Field(
        default=0.12, gt=0, lt=0.5, description="Share of images for choosing epochs and recipes"
    )
    calibration: float = Field(default=0.10, gt=0, lt=0.5, description="Share of images for calibration only")
    test: float = Field(default=0.20, gt=0, lt=0.5, description="Share of images for the final report only")
    seed: int = Field(default=7, ge=0)
    n_folds: int = Field(
        default=5, ge=3, le=10, description="Folds for cross-validation, besides the four splits; whole groups too"
    )
    test_name: Slug = Field(
        default="test-1",
        description="Name of the test split: under one name it never gains an image; a new name lets it grow",
    )
    profile: LicenceProfile = Field(
        default="research-nc",
        description="Licences that a dataset may hold: permissive (CC-0, CC-BY), or research-nc (also CC-BY-NC)",
    )

    # What is not asked for is left out of what is hashed, so that datasets made without it keep their names.
    test_only: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description="All images are test images: an external test set, made of a folder's snapshot",
    )
    leave_out_source: str = Field(
        default="",
        exclude_if=lambda source: not source,
        description="The test split is this source, as the manifest names it; nothing of it goes elsewhere",
    )
    leave_out_class: Diagnosis | None = Field(
        default=None,
        exclude_if=lambda diagnosis: diagnosis is None,
        description="Groups with an image of this class are test images; no model learns or is calibrated on it",
    )

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if sum((self.test_only, bool(self.leave_out_source), self.leave_out_class is not None)) > 1:
            raise ValueError("expected at most one of test_only, leave_out_source and leave_out_class")
        return self

    @classmethod
    def for_external_test(cls, name: str, model: ModelRef) -> Self:
        """Return the options of an external test set called ``name``, with records as a model's training had them."""
        trained_on = model.dataset
        return cls(
            name=name, size_px=trained_on.size_px, colour_constancy=trained_on.colour_constancy, test_only=True
        )

    def for_recipe(self, dataset: str, size_px: int, colour_constancy: ColourConstancy) -> "PrepareOptions":
        """Return these options under the name, size and colour constancy that a recipe asks for."""
        return self.model_copy(update={"name": dataset, "size_px": size_px, "colour_constancy": colour_constancy})
