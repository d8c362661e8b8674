"""Which patient and lesion ids stand for nobody: the one rule, for every source and every step.

Tables fill an unknown id with something: 0, -1, 999, NA, unknown. Taken for an id, that makes one patient, or one
lesion, of all who have none. So a placeholder is a missing id: the image is a group of its own for that key, and the
snapshot's issues say so. Ids are text, as they came: ``001`` is not ``1``, and ``12.0`` is not ``12`` (it may stand
beside ``12.1``).

A value is a placeholder

1. by its form, whatever its case, its blanks and a trailing ``.0`` (``is_placeholder``);
2. by the number of images that have it (``find_crowds``): more than ``FEWEST_CROWD`` and more than ``CROWD_SHARE`` of
   all that are listed, unless they may be of one patient: one sex, and ages at most ``MOST_YEARS`` apart.

How the limits were set: of the 10,834 images of ISIC 2019 that the tests know and that name a lesion, no lesion has
more than 6; a patient of ISIC 2020 has 16 images on the mean, 0.05 % of 33,126 (Rotemberg et al. 2021,
doi:10.1038/s41597-021-00815-z). But ten patients of a small clinic have a tenth of the images each, and a folder may
hold one patient alone: so few images prove nothing, and a crowd that may be one patient stays together. To part the
images of one patient would put them into training and test at once, which is the worse error.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from lesion_core.archive_fields import AGE, IDS, SEX
from lesion_core.isic.listing.catalogue import Catalogue
from lesion_core.isic.taxonomy import Unmapped, age_of, sex_of
from lesion_core.labels import Sex
from lesion_core.types import JsonDict

ID_FIELDS = tuple(IDS)
FEWEST_CROWD = 50
CROWD_SHARE = 0.05
MOST_YEARS = 25
PLACEHOLDER_REASON = "is a placeholder, not an id"
_MISTYPED = 0.05  # share of one patient's images that may have a wrong sex or age
_SIGNS = ("", "?", "??", "???", "-", "--", "---", "–", "—", ".", "..", "...", "/", "*", "#", "_")
_NEGATED = ("available", "applicable", "assigned", "known", "recorded", "given", "stated", "specified", "provided")
_WORDS = frozenset(
    {
        *_SIGNS,
        *("na", "n/a", "n.a.", "n.a", "n\\a", "#n/a", "#na", "<na>", "nan", "nat", "nil", "none", "null"),
        *("undefined", "unknown", "unkn", "unk", "unspecified", "unidentified", "unavailable", "unassigned", "tbd"),
        *("anonymous", "anonymised", "anonymized", "anon", "missing", "empty", "blank", "other"),
        "no id",
        *(f"not {word}" for word in _NEGATED),
    }
)
# 0, 00, -1, -9, -99, 999, 9999 …; of the archive's own ids those without a number: IP_0000000, IL_0000000. A prefix
# of another kind proves nothing: HAM_0000000 is a lesion.
_NUMBERS = re.compile(r"0+|-(1|9+)|9{3,}|i[pl]_0+")
_FROM_A_FLOAT = re.compile(r"\.0+$")
Crowds = Mapping[str, Mapping[str, str]]
log = logging.getLogger(__name__)


def is_placeholder(value: object) -> bool:
    """Return whether an id stands for nobody by its form; ``None`` and NaN do."""
    if value is None or value != value:  # NaN
        return True
    text = " ".join(str(value).casefold().replace("_", " ").split())
    digits = _FROM_A_FLOAT.sub("", text)
    return text in _WORDS or text.strip(" \"'()[]<>") in _WORDS or bool(_NUMBERS.fullmatch(digits.replace(" ", "_")))


def id_of(facts: JsonDict, name: str, crowds: Crowds) -> str | Unmapped | None:
    """Return an image's id of a patient or lesion as text, ``None`` where none is stated, or why it is none.

    Args:
        facts: What the archive says of the image.
        name: One of ``ID_FIELDS``.
        crowds: What ``find_crowds`` found in the listing.
    """
    field = IDS[name]
    text = "" if facts.get(field) is None else str(facts[field]).strip()
    if not text:
        return None
    if is_placeholder(text):
        return Unmapped(field, text, PLACEHOLDER_REASON)
    if text in crowds.get(name, {}):
        return Unmapped(field, text, crowds[name][text])
    return text


def find_crowds(catalogue: Catalogue) -> dict[str, dict[str, str]]:
    """Return the ids that too many of the listed images have to be one patient or lesion, by field, and why."""
    n_listed = len(catalogue)
    most = max(FEWEST_CROWD, int(CROWD_SHARE * n_listed))
    found: dict[str, dict[str, str]] = {}
    for name in ID_FIELDS:
        for value, n_images in catalogue.frequent_values(IDS[name], more_than=most):
            if is_placeholder(value):
                continue
            people = catalogue.combinations((SEX, AGE), IDS[name], value)
            why = _why_not_one(people)
            share = f"{n_images:,} of {n_listed:,} images ({n_images / n_listed:.0%}) have it"
            if why:
                found.setdefault(name, {})[value] = f"stands for no one {name.split('_')[0]}: {share}, {why}"
            else:
                log.warning("%s %r is taken for one patient's: %s, of one sex and age", name, value, share)
    return found


def _why_not_one(people: Sequence[tuple[JsonDict, int]]) -> str:
    """Return why these images are not those of one patient; nothing where they may be."""
    sexes, ages = Counter[str](), Counter[float]()
    for facts, n_images in people:
        sex, age = sex_of(facts), age_of(facts)
        if isinstance(sex, Sex):
            sexes[sex] += n_images
        if isinstance(age, float):
            ages[age] += n_images
    n_all = sum(n for _, n in people)
    if 2 * max(sexes.total(), ages.total()) < n_all:
        return "and sex and age of most of them are unknown"
    if sexes and min(sexes.values()) > _MISTYPED * sexes.total() and len(sexes) > 1:
        return "of both sexes"
    youngest, oldest = _range(ages)
    return f"of ages from {youngest:g} to {oldest:g} years" if oldest - youngest > MOST_YEARS else ""


def _range(ages: Counter[float]) -> tuple[float, float]:
    """Return the lowest and the highest age without those that may be mistyped; zeros where none is known."""
    if not ages:
        return 0.0, 0.0
    ordered = sorted(ages.elements())
    spared = int(_MISTYPED * len(ordered) / 2)
    return ordered[spared], ordered[-1 - spared]
