"""Small frozen values that cross a process, network or form boundary: references, not data."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lesion_core.labels import Sex, Site


def is_none(choice: str) -> bool:
    """Whether a choice is 'none': such a field is left out of what is written and hashed."""
    return choice == "none"


class Value(BaseModel):
    """Base of every value that crosses a boundary: immutable, and strict about field names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _relative_key(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts or "\\" in value or value != str(path):
        raise ValueError(f"expected a relative store key such as 'models/isic/0123456789ab', got {value!r}")
    return value


StoreKey = Annotated[str, AfterValidator(_relative_key)]  # models/isic-quick/0f3a9c1d22b4
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]  # isic-quick
ISIC_ID = re.compile(r"ISIC_[0-9]{7}")
IsicId = Annotated[str, Field(pattern=rf"^{ISIC_ID.pattern}$")]  # ISIC_0024306
ColourConstancy = Literal["none", "shades-of-gray"]
Licence = Literal["CC-0", "CC-BY", "CC-BY-NC"]
LicenceProfile = Literal["permissive", "research-nc"]

# Most permissive first; a set is as restricted as its most restricted row.
LICENCE_ORDER: tuple[Licence, ...] = ("CC-0", "CC-BY", "CC-BY-NC")
# What each profile allows: any use with attribution, or non-commercial research only.
LICENCE_PROFILES: dict[LicenceProfile, tuple[Licence, ...]] = {
    "permissive": ("CC-0", "CC-BY"),
    "research-nc": LICENCE_ORDER,
}


class PatientMetadata(Value):
    """What the clinician knows besides the image; ``None`` means unknown."""

    age_years: float | None = Field(default=None, ge=0, le=120)
    sex: Sex | None = None
    site: Site | None = None


JsonDict = dict[str, Any]
