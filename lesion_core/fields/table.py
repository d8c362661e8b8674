"""The metadata fields: what is known of a patient besides the image, in one table.

Whatever names a field goes through ``FIELDS``: columns of tables, inputs of the network and of ``model.onnx``, codes,
the form, the HTTP API, answers, audit records, scoring, reports and synthetic images. ARCHITECTURE.md lists what a
new field takes besides its entry here.

The order is that of the network's inputs and of the encoding that its weights were trained on, so a new field is
appended, and none is ever moved. Tables and models that were stored before a field was (``is_later``) are read and
served without it: its value is unknown there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lesion_core import archive_fields
from lesion_core.fields.kinds import AnyField, CategoryField, NumberField
from lesion_core.labels import Sex, Site

AGE = NumberField(
    name="age_years",
    noun="age",
    question="Age in years",
    archive_columns=(archive_fields.AGE,),
    table_columns=("age_years", *archive_fields.names_of(archive_fields.AGE), "age"),
    help="Left out where unknown",
    is_later=False,
    unit="years",
    low=0,
    high=120,
    centre=50.0,  # of the ISIC 2019 ages, and so is the scale
    scale=20.0,
    bin_width=5,  # as the archive rounds
    last_bin=90,
    band_name="age_decade",
    band_width=10,
    last_band=90,
)
SEX = CategoryField(
    name="sex",
    noun="sex",
    question="Sex",
    archive_columns=(archive_fields.SEX,),
    known_as="{}",
    is_later=False,
    values=Sex,
)
SITE = CategoryField(
    name="site",
    noun="site",
    question="Site of the lesion",
    archive_columns=(*archive_fields.SITE, archive_fields.SITE_SPECIAL, archive_fields.FORMER_SITE),
    table_columns=(
        "site",
        *archive_fields.names_of(archive_fields.FORMER_SITE),
        "localization",  # of HAM10000
        *archive_fields.SITE,
        archive_fields.SITE_SPECIAL,
    ),
    known_as="{}",
    is_later=False,
    values=Site,
)
FIELDS: tuple[AnyField, ...] = (AGE, SEX, SITE)


def numbers() -> tuple[NumberField, ...]:
    """Return the fields that are numbers, in order."""
    return tuple(field for field in FIELDS if isinstance(field, NumberField))


def categories() -> tuple[CategoryField, ...]:
    """Return the fields that are one of some words, in order."""
    return tuple(field for field in FIELDS if isinstance(field, CategoryField))


def later_fields() -> tuple[AnyField, ...]:
    """Return the fields before which tables and models were stored."""
    return tuple(field for field in FIELDS if field.is_later)


def in_words(names: Iterable[str] = (), conjunction: str = "and") -> str:
    """Return names, those of all fields where none are given, as a part of a sentence: 'age, sex and site'."""
    *first, last = names or [field.noun for field in FIELDS]
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def key_of_later() -> Mapping[str, Any]:
    """Return what the inputs of a step name besides: the later fields, or nothing where there are none.

    So a step is done again where a field was added, and what was made before is found where none was.
    """
    return {"fields": [field.described() for field in later_fields()]} if later_fields() else {}
