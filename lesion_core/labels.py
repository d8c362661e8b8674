"""The vocabulary: classes, sexes, sites, and their order.

The classes and sites are those of the ISIC 2019 challenge training set
(https://challenge.isic-archive.com/landing/2019/). Their order here is the order of every array,
table and model output, in whose shapes the number of classes is k. A code is the position plus one; code 0 says
"unknown".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

UNKNOWN_CODE = 0


class Diagnosis(StrEnum):
    """The ISIC 2019 classes, in ``CLASS_ORDER``; ``CLASSES`` says more of each."""

    MEL = "MEL"
    NV = "NV"
    BCC = "BCC"
    AK = "AK"
    BKL = "BKL"
    DF = "DF"
    VASC = "VASC"
    SCC = "SCC"


class Sex(StrEnum):
    """As the archive records it; anything else is unknown."""

    FEMALE = "female"
    MALE = "male"


class Site(StrEnum):
    """The challenge's ``anatom_site_general`` values."""

    ANTERIOR_TORSO = "anterior torso"
    HEAD_NECK = "head/neck"
    LATERAL_TORSO = "lateral torso"
    LOWER_EXTREMITY = "lower extremity"
    ORAL_GENITAL = "oral/genital"
    PALMS_SOLES = "palms/soles"
    POSTERIOR_TORSO = "posterior torso"
    UPPER_EXTREMITY = "upper extremity"


Nature = Literal["malignant", "precancerous", "benign"]


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What is known of a class wherever it is shown or counted.

    Attributes:
        name: As people read it.
        nature: By histology; what the archive calls "Indeterminate" is precancerous.
        colour: In figures.
        is_in_challenge: Whether the ground truth of ISIC 2019 has a column of its name.
    """

    name: str
    nature: Nature
    colour: str
    is_in_challenge: bool = True


# Okabe and Ito's colours, distinguished with any colour vision, with grey for black.
CLASSES: Mapping[Diagnosis, ClassFacts] = {
    Diagnosis.MEL: ClassFacts("Melanoma", "malignant", "#d55e00"),
    Diagnosis.NV: ClassFacts("Melanocytic nevus", "benign", "#0072b2"),
    Diagnosis.BCC: ClassFacts("Basal cell carcinoma", "malignant", "#cc79a7"),
    Diagnosis.AK: ClassFacts("Actinic keratosis", "precancerous", "#8c6d00"),
    Diagnosis.BKL: ClassFacts("Benign keratosis", "benign", "#56b4e9"),
    Diagnosis.DF: ClassFacts("Dermatofibroma", "benign", "#009e73"),
    Diagnosis.VASC: ClassFacts("Vascular lesion", "benign", "#616e7c"),
    Diagnosis.SCC: ClassFacts("Squamous cell carcinoma", "malignant", "#7b2d8b"),
}
CLASS_ORDER: tuple[Diagnosis, ...] = tuple(Diagnosis)
N_CLASSES = len(CLASS_ORDER)
N_CLASSES_IN_WORDS = {7: "seven", 8: "eight", 9: "nine", 10: "ten"}.get(N_CLASSES, str(N_CLASSES))
CLASS_NAMES: dict[Diagnosis, str] = {item: CLASSES[item].name for item in CLASS_ORDER}
CHALLENGE_CLASSES: tuple[Diagnosis, ...] = tuple(item for item in CLASS_ORDER if CLASSES[item].is_in_challenge)
# Models are trained anew where there are any; what was trained before is found where there are none.
FURTHER_CLASSES: tuple[Diagnosis, ...] = tuple(item for item in CLASS_ORDER if item not in CHALLENGE_CLASSES)
MALIGNANT: tuple[Diagnosis, ...] = tuple(item for item in CLASS_ORDER if CLASSES[item].nature == "malignant")
BENIGN: tuple[Diagnosis, ...] = tuple(item for item in CLASS_ORDER if CLASSES[item].nature == "benign")

SEX_ORDER: tuple[Sex, ...] = tuple(Sex)
SITE_ORDER: tuple[Site, ...] = tuple(Site)


def code_of(value: str | None, order: Sequence[StrEnum]) -> int:
    """Return the code of ``value`` in ``order`` (1-based), or ``UNKNOWN_CODE`` for ``None``.

    Raises:
        ValueError: ``value`` is not in ``order``.
    """
    if value is None:
        return UNKNOWN_CODE
    try:
        return [str(item) for item in order].index(str(value)) + 1
    except ValueError:
        raise ValueError(f"expected one of {[str(item) for item in order]} or None, got {value!r}") from None


def class_index(value: str) -> int:
    """Return the position of a class in ``CLASS_ORDER`` (0-based)."""
    return CLASS_ORDER.index(Diagnosis(value))
