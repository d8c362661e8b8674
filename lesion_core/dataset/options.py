"""How a snapshot becomes a dataset, as a form asks it."""

from pydantic import Field

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

    def for_recipe(self, dataset: str, size_px: int, colour_constancy: ColourConstancy) -> "PrepareOptions":
        """Return these options under the name, size and colour constancy that a recipe asks for."""
        return self.model_copy(update={"name": dataset, "size_px": size_px, "colour_constancy": colour_constancy})
