"""Distillation: a student learns from a teacher's answers as well as from the labels.

Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531). With z the student's
logits, t the teacher's, T the temperature and a the weight of the labels, the loss of an image is

    a * labels(z) + (1 - a) * T^2 * KL(softmax(t / T) || softmax(z / T))

T^2 makes up for the gradients of softened answers, which shrink as 1 / T^2, so that ``a`` means the same at every
temperature.

Which prior the logits stand for. Logit adjustment of strength s moves only what the labels are compared with: the
raw logits of a network that fits them stand for the classes' shares in its loss to the power 1 - s, so for a flat
prior at the usual strength of 1. The student's label term stays adjusted as its recipe says. The teacher's raw
logits stand for the teacher's own prior and are brought to the student's (``prior_shift``), so that both terms ask
for the same logits; where both strengths are 1 nothing moves. The teacher's calibration is left out: T stands in
its place. Label smoothing applies to the label term only; a teacher that was itself trained with smoothing tells
less about how classes resemble each other (Mueller et al. 2019, arXiv:1906.02629). The focal loss changes what
logits stand for in a way that has no such simple correction, and is not corrected.
"""

from dataclasses import dataclass

import keras
import numpy as np

from lesion_core.errors import ConfigError
from lesion_core.modeling.feed.losses import Targets
from lesion_core.recipes.recipe import Recipe
from lesion_core.training.loop.step import Loss
from lesion_core.training.spec import Distillation

TEACHER = "teacher"  # target beside 'labels': float32 (n, k), the teacher's logits for the student's prior


@dataclass(frozen=True, slots=True, eq=False)
class Teaching:
    """What a teacher says of the training images, and how it is listened to.

    Attributes:
        logits: float32 (n, k), a row for each image of the training split, in its order; see ``prior_shift``.
        settings: Temperature, and the weight of the labels.
    """

    logits: np.ndarray
    settings: Distillation

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """What goes with the labels of a batch, by name, a row for each training image."""
        return {TEACHER: self.logits}

    def blend(self, labels: Loss) -> "DistillationLoss":
        """Return the loss that listens to the teacher and, through ``labels``, to the labels."""
        return DistillationLoss(labels, self.settings.temperature, self.settings.label_weight)


@dataclass(frozen=True, slots=True, eq=False)
class DistillationLoss:
    """The blend above, as a mean over a batch.

    Attributes:
        labels: Loss on the labels.
        temperature: T, above 0.
        label_weight: a, in [0, 1].
    """

    labels: Loss
    temperature: float
    label_weight: float

    def __call__(self, targets: Targets, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Return the mean loss, a float32 scalar, of logits (n, k) against 'labels' and 'teacher' (n, k)."""
        taught = divergence(targets[TEACHER], logits, self.temperature)
        if self.label_weight == 0.0:
            return taught
        return self.label_weight * self.labels(targets, logits) + (1.0 - self.label_weight) * taught


def divergence(teacher: keras.KerasTensor, student: keras.KerasTensor, temperature: float) -> keras.KerasTensor:
    """Return the mean over images of T^2 KL(teacher || student) at temperature T: a float32 scalar, at least 0.

    Args:
        teacher: Logits, float (n, k).
        student: Logits, float (n, k).
        temperature: Above 0.
    """
    ops = keras.ops  # float32 also under mixed precision
    wanted = ops.log_softmax(ops.cast(teacher, "float32") / temperature, axis=-1)
    found = ops.log_softmax(ops.cast(student, "float32") / temperature, axis=-1)
    return temperature**2 * ops.mean(ops.sum(ops.exp(wanted) * (wanted - found), axis=-1))


def prior_shift(student_prior: np.ndarray, teacher_prior: np.ndarray) -> np.ndarray:
    """Return what is added to the teacher's logits so that they stand for the student's prior: float32 (k,).

    Args:
        student_prior: (k,) class shares that the student's logits are to stand for, see ``prior_of_logits``.
        teacher_prior: Those that the teacher's stand for.
    """
    return (np.log(student_prior) - np.log(teacher_prior)).astype(np.float32)


def check_teachable(recipe: Recipe) -> None:
    """Refuse a recipe whose images the teacher was not asked about.

    The teacher answers once for each image. What it would say of two images mixed is not the mixture of what it says
    of each, and asking it anew at every step would cost its own forward pass.

    Raises:
        ConfigError: The recipe mixes images.
    """
    augmentation = recipe.augmentation
    if augmentation.mixup or augmentation.cutmix:
        raise ConfigError(
            f"expected recipe {recipe.name!r} to show one image at a time when a teacher answers for it, got mixup "
            f"{augmentation.mixup:g} and cutmix {augmentation.cutmix:g}; set both to 0, or train without a teacher"
        )
