"""Small frozen values that cross a process, network or form boundary: references, not data."""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from lesion_core.fields.table import FIELDS
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
OodPolicy = Literal["refuse", "note"]  # what becomes of an image that is out of distribution
Licence = Literal["CC-0", "CC-BY", "CC-BY-NC"]
LicenceProfile = Literal["permissive", "research-nc"]

# Most permissive first; a set is as restricted as its most restricted row.
LICENCE_ORDER: tuple[Licence, ...] = ("CC-0", "CC-BY", "CC-BY-NC")
# What each profile allows: any use with attribution, or non-commercial research only.
LICENCE_PROFILES: dict[LicenceProfile, tuple[Licence, ...]] = {
    "permissive": ("CC-0", "CC-BY"),
    "research-nc": LICENCE_ORDER,
}


_PATIENT = "What the clinician knows besides the image; ``None`` means unknown."
if TYPE_CHECKING:  # a further field may be named here too: then mypy knows it, and nothing else changes

    class PatientMetadata(Value):
        """As it is made below from the table of fields."""

        age_years: float | None = None
        sex: Sex | None = None
        site: Site | None = None
else:
    PatientMetadata = create_model(
        "PatientMetadata",
        __base__=Value,
        __doc__=_PATIENT,
        __module__=__name__,
        **{field.name: (field.annotation | None, Field(default=None, **field.limits)) for field in FIELDS},
    )


JsonDict = dict[str, Any]
