"""The sections of a recipe: network parts, augmentation, optimisation, imbalance, gate."""

from typing import Any, Literal

from pydantic import Field, model_validator

from lesion_core.labels import MALIGNANT
from lesion_core.types import Value

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
    "efficientnet-v2-b2",
    "efficientnet-v2-b3",
    "efficientnet-v2-s",
    "convnext-tiny",
    "densenet121",
]
Fusion = Literal["additive", "concat", "metablock", "film", "none"]
Precision = Literal["float32", "bfloat16", "float16"]
AugmentedViews = Literal[1, 4, 8]
BatchNorm = Literal["frozen", "training"]


class Augmentation(Value):
    """What the training images go through; each imitates something that varies at the bedside.

    A recipe's ``augmentation: none`` switches all of it off.
    """

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
    cutout: float = Field(default=0, ge=0, le=1, description="Chance of a grey square: part of the lesion is hidden")
    dark_corners: float = Field(default=0, ge=0, le=1, description="Chance of a dermatoscope's black rim")
    ink: float = Field(default=0, ge=0, le=1, description="Chance of a surgeon's pen marks")
    rulers: float = Field(default=0, ge=0, le=1, description="Chance of a scale with ticks at an edge")
    hairs: float = Field(default=0, ge=0, le=1, description="Chance of hairs across the image")
    mixup: float = Field(
        default=0, ge=0, le=5, description="Alpha of the Beta distribution of mixing two images; 0 is off"
    )
    cutmix: float = Field(
        default=0, ge=0, le=5, description="Alpha of the Beta distribution of the pasted share; 0 is off"
    )

    @model_validator(mode="before")
    @classmethod
    def _none_is_all_off(cls, value: Any) -> Any:
        return dict.fromkeys(cls.model_fields, 0) if value == "none" else value


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
    unfreeze: float = Field(
        default=1.0, gt=0, le=1, description="Share of the backbone's layers, from the top, that train after the head"
    )
    rate_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Discriminative rates: each of the backbone's resolutions trains at this share of the rate of "
        "the next coarser one (Howard & Ruder 2018, arXiv:1801.06146)",
    )
    ema_decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay per step of an average of the weights, which is then validated and kept",
    )
    precision: Precision = Field(
        default="float32", description="'bfloat16' and 'float16' are mixed precision: for GPUs, slower on most CPUs"
    )
    xla: bool = Field(default=False, description="Compile the step with XLA: for GPUs, several times slower on a CPU")
    patience: int = Field(
        default=5,
        ge=1,
        description="Early stopping: epochs without a better validation score before the training stops",
    )
    checkpoint_seconds: float = Field(default=30, gt=0, description="Time between resumable checkpoints")
    checkpoint_steps: int | None = Field(
        default=None, ge=1, description="Steps between resumable checkpoints, besides"
    )


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
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    focal_gamma: float = Field(
        default=2.0, ge=0, le=10, description="Focusing of the focal loss (Lin et al. 2017, arXiv:1708.02002)"
    )
    class_weight_power: float = Field(
        default=0.0, ge=0, le=1, description="A class drawn n times in an epoch weighs n^-power in the loss, mean 1"
    )
    effective_number: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Beta of the class-balanced loss: a class of n images weighs (1-beta)/(1-beta^n) "
        "(Cui et al. 2019, arXiv:1901.05555)",
    )

    @model_validator(mode="after")
    def _weighs_once(self) -> "Imbalance":
        if self.class_weight_power and self.effective_number is not None:
            raise ValueError("class_weight_power and effective_number both weigh the classes; set one of them")
        return self

    @model_validator(mode="after")
    def _gamma_has_its_loss(self) -> "Imbalance":
        usual = type(self).model_fields["focal_gamma"].default
        if self.loss != "focal" and self.focal_gamma != usual:
            raise ValueError(
                f"focal_gamma {self.focal_gamma:g} belongs to loss 'focal', got {self.loss!r}; change one"
            )
        return self


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
        description=f"Largest loss of pooled {'/'.join(MALIGNANT)} sensitivity against the approved model",
    )
    max_flagged: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Largest share of the test images that the model's out-of-distribution score may flag, by the "
        "interval's lower end: they are dermoscopic images like those of training, of which it should flag 0.05",
    )
    max_test_accesses: int | None = Field(
        default=None,
        ge=0,
        description="Largest number of other models of the recipe that had been measured on the same test split; "
        "none: any, and the decision says how many. Past it, prepare the dataset under another test_name",
    )
