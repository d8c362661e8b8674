"""The names of the archive's fields, today's and those of before: the one place that spells them out.

Where the archive renames a field, its name here changes and the one of before goes to ``OLDER``. Whatever was stored
or downloaded under the older name is then read as before, and the mirror and synthetic archives write the new one.
The columns of our own tables (``isic_id``, ``lesion_id``, ``patient_id`` …) are called like some of these and are not
meant here.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

_Value = TypeVar("_Value")

IMAGE_ID = "isic_id"
ATTRIBUTION = "attribution"
LICENCE = "copyright_license"
PUBLIC = "public"
OWN = (IMAGE_ID, ATTRIBUTION, LICENCE)  # of the image itself; all others are metadata

DIAGNOSIS = tuple(f"diagnosis_{level}" for level in range(1, 6))  # a path, from the most general level down
CONFIRMATION = "diagnosis_confirm_type"
AGE = "age_approx"
SEX = "sex"
SITE = tuple(f"anatom_site_{level}" for level in range(1, 6))  # a path
SITE_SPECIAL = "anatom_site_special"
LESION = "lesion_id"
PATIENT = "patient_id"
IMAGE_TYPE = "image_type"
MANIPULATION = "image_manipulation"
WIDTH = "pixels_x"
HEIGHT = "pixels_y"
SIZE_MM = "clin_size_long_diam_mm"
THICKNESS_MM = "mel_thick_mm"
DAY = "acquisition_day"
ULCERATION = "mel_ulcer"
MELANOCYTIC = "melanocytic"
BIOPSY = "concomitant_biopsy"
OWN_MELANOMA = "personal_hx_mm"
FAMILY_MELANOMA = "family_hx_mm"
DERMOSCOPIC_TYPE = "dermoscopic_type"
SKIN_TYPE = "fitzpatrick_skin_type"
# Given up in 2025, with other words; see ``taxonomy``.
FORMER_DIAGNOSIS = "diagnosis"
FORMER_MALIGNANCY = "benign_malignant"
FORMER_SITE = "anatom_site_general"
# No field of the archive: what a challenge's ground truth tells.
CHALLENGE_CLASS = "challenge_class"

# Names of before by today's, of the archive, its downloaders and its challenges: the first API (v1, until 2021) had
# ``name``, the ISIC 2020 challenge ``image_name`` and ``anatom_site_general_challenge``.
OLDER: Mapping[str, tuple[str, ...]] = {
    IMAGE_ID: ("name", "image_name"),
    LICENCE: ("dataset.license",),
    FORMER_SITE: ("anatom_site_general_challenge",),
}
# What the first API called by other names, below ``meta.acquisition``.
FIRST_API: Mapping[str, str] = {"pixelsX": WIDTH, "pixelsY": HEIGHT}
# The metadata of ISIC 2019 by their columns in its table, which stays as it was handed out.
CHALLENGE_COLUMNS: Mapping[str, str] = {
    "age_approx": AGE,
    "anatom_site_general": FORMER_SITE,
    "lesion_id": LESION,
    "sex": SEX,
}
# By the columns of our own tables.
IDS: Mapping[str, str] = {"patient_id": PATIENT, "lesion_id": LESION}

# How the archive's JSON has them; decimals and everything else are text.
WHOLE_NUMBERS = frozenset({AGE, DAY})
FLAGS = frozenset({ULCERATION, MELANOCYTIC, BIOPSY, OWN_MELANOMA, FAMILY_MELANOMA})
MEASURED = frozenset({WIDTH, HEIGHT})  # in the file, too
ACQUISITION = (WIDTH, HEIGHT, IMAGE_TYPE, DERMOSCOPIC_TYPE, MANIPULATION)  # all others are "clinical"

# What its query language can ask of. Some it takes, and its database then fails: the server answers with an error.
BROKEN_FLAGS = frozenset({"blurry", "hairy", "marker_pen"})
BROKEN_TEXTS = frozenset({"color_tint"})
SEARCHED_NUMBERS = frozenset({AGE, SIZE_MM, THICKNESS_MM})
SEARCHED_FLAGS = BROKEN_FLAGS | FLAGS | {PUBLIC}
SEARCHED_TEXTS = BROKEN_TEXTS | {
    *(IMAGE_ID, LICENCE, IMAGE_TYPE, DERMOSCOPIC_TYPE, MANIPULATION, SEX, *SITE, SITE_SPECIAL, *DIAGNOSIS),
    *(CONFIRMATION, LESION, PATIENT, "rcm_case_id"),
    *("mel_mitotic_index", SKIN_TYPE, "tbp_tile_type"),
}
SEARCHED = SEARCHED_NUMBERS | SEARCHED_FLAGS | SEARCHED_TEXTS

_RENAMED = {name: today for today, older in OLDER.items() if today not in OWN for name in older}


def names_of(field: str) -> tuple[str, ...]:
    """Return a field's name of today, and those of before."""
    return (field, *OLDER.get(field, ()))


def names_of_today(names: Sequence[str]) -> tuple[str, ...]:
    """Return today's name of each; an older one stands for it only where today's is not among them."""
    found = list(names)
    for today, older in OLDER.items():
        present = [name for name in older if name in found]
        if today not in found and present:
            found[found.index(present[0])] = today
    return tuple(found)


def of_today(facts: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return metadata by today's names; an older one stays where today's is there as well."""
    if _RENAMED.keys().isdisjoint(facts):
        return dict(facts)
    return {name if _RENAMED.get(name) in facts else _RENAMED.get(name, name): value for name, value in facts.items()}
