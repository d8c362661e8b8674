"""The vocabulary: eight classes, two sexes, eight sites, and their order.

The classes and sites are those of the ISIC 2019 challenge training set
(https://challenge.isic-archive.com/landing/2019/). Their order here is the order of every array,
table and model output. A code is the position plus one; code 0 says "unknown".
"""

from collections.abc import Sequence
from enum import StrEnum

UNKNOWN_CODE = 0


class Diagnosis(StrEnum):
    """The ISIC 2019 classes, in ``CLASS_ORDER``."""

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


CLASS_ORDER: tuple[Diagnosis, ...] = tuple(Diagnosis)
SEX_ORDER: tuple[Sex, ...] = tuple(Sex)
SITE_ORDER: tuple[Site, ...] = tuple(Site)
N_CLASSES = len(CLASS_ORDER)

CLASS_NAMES: dict[Diagnosis, str] = {
    Diagnosis.MEL: "Melanoma",
    Diagnosis.NV: "Melanocytic nevus",
    Diagnosis.BCC: "Basal cell carcinoma",
    Diagnosis.AK: "Actinic keratosis",
    Diagnosis.BKL: "Benign keratosis",
    Diagnosis.DF: "Dermatofibroma",
    Diagnosis.VASC: "Vascular lesion",
    Diagnosis.SCC: "Squamous cell carcinoma",
}
# Malignant by histology; AK is counted apart, as the archive does ("Indeterminate").
MALIGNANT: tuple[Diagnosis, ...] = (Diagnosis.MEL, Diagnosis.BCC, Diagnosis.SCC)


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
