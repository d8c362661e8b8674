"""From the archive's vocabulary to the classes and the eight sites of the ISIC 2019 challenge.

The archive describes a diagnosis by a path of up to five levels (``diagnosis_1..5``) and a site by another
(``anatom_site_1..5``) plus ``anatom_site_special``. The rules below reproduce the published ground truth of
the challenge's training set (https://challenge.isic-archive.com/data/#2019) from today's vocabulary.

A challenge's ground truth tells a class and no path (``challenge_class``). It counts where the archive says nothing,
and must not contradict what the archive says.

Until February 2025 the archive named a diagnosis by one word (``diagnosis``), and until June 2025 it also said if it
is malignant (``benign_malignant``). Tables of that time are read by the words below: those of the former
``DiagnosisEnum`` of isic-metadata whose place in today's paths (its ``diagnosis_hierarchical``) belongs to one of
the classes, whatever is meant in detail. Other words (``lentigo NOS``, ``AIMP``, ``other`` …) name none. A
former word counts where there is no path, or only its first level, and must not contradict what else is said.

A value that no rule covers is an ``Unmapped`` with its reason; nothing is guessed. In particular
``diagnosis_1`` alone ("Benign") names no class, and a lower level that contradicts an upper one names none.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from lesion_core import archive_fields
from lesion_core.fields.kinds import AnyField, CategoryField
from lesion_core.fields.table import AGE, SEX, SITE
from lesion_core.isic.source import IMAGE_TYPES, ImageType
from lesion_core.labels import BENIGN, CLASS_ORDER, MALIGNANT, N_CLASSES_IN_WORDS, SITE_ORDER, Diagnosis, Sex, Site

TAXONOMY_VERSION = 3
CHALLENGE_FIELD = archive_fields.CHALLENGE_CLASS
FORMER_FIELD = archive_fields.FORMER_DIAGNOSIS
MALIGNANCY_FIELD = archive_fields.FORMER_MALIGNANCY
NOT_STATED: ImageType = "not stated"
Metadata = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Why a value has no place in the vocabulary: the deciding field, its value, and words."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """A class by its path; ``third`` empty means that the second level decides whatever is below it."""

    diagnosis: Diagnosis
    first: str
    second: str
    third: tuple[str, ...] = ()
    is_prefix: bool = False

    def accepts(self, third: str) -> bool:
        if self.is_prefix:
            return third.startswith(self.third)
        return not self.third or third in self.third


_BKL = ("Seborrheic keratosis", "Pigmented benign keratosis", "Solar lentigo", "Lichen planus like keratosis")
_RULES: tuple[_Rule, ...] = (
    _Rule(Diagnosis.MEL, "Malignant", "Malignant melanocytic proliferations (Melanoma)"),
    _Rule(Diagnosis.NV, "Benign", "Benign melanocytic proliferations", ("Nevus",)),
    _Rule(
        Diagnosis.BCC,
        "Malignant",
        "Malignant adnexal epithelial proliferations - Follicular",
        ("Basal cell carcinoma",),
    ),
    _Rule(Diagnosis.AK, "Indeterminate", "Indeterminate epidermal proliferations", ("Solar or actinic keratosis",)),
    _Rule(Diagnosis.BKL, "Benign", "Benign epidermal proliferations", _BKL),
    _Rule(Diagnosis.DF, "Benign", "Benign soft tissue proliferations - Fibro-histiocytic", ("Dermatofibroma",)),
    # The archive's vascular lesions mostly have no third level: keyed on it, the whole class would be lost.
    _Rule(Diagnosis.VASC, "Benign", "Benign soft tissue proliferations - Vascular"),
    _Rule(
        Diagnosis.SCC,
        "Malignant",
        "Malignant epidermal proliferations",
        ("Squamous cell carcinoma",),  # NOS, in situ, Invasive
        is_prefix=True,
    ),
)
_ALL_LEVELS = archive_fields.DIAGNOSIS
_DIAGNOSIS_FIELDS = _FIRST, _SECOND, _THIRD = _ALL_LEVELS[:3]
_LEVELS_IN_WORDS = f"{_ALL_LEVELS[0]} to {_ALL_LEVELS[-1]}"
_NAMES_NONE = f"does not name one of the {N_CLASSES_IN_WORDS} classes"
_NONE_OF_THEM = f"is none of the {N_CLASSES_IN_WORDS} classes ({', '.join(CLASS_ORDER)})"
_FORMER_WORDS: Mapping[str, Diagnosis] = {
    **dict.fromkeys(("melanoma", "melanoma metastasis"), Diagnosis.MEL),
    **dict.fromkeys(("nevus", "nevus spilus"), Diagnosis.NV),
    "basal cell carcinoma": Diagnosis.BCC,
    "actinic keratosis": Diagnosis.AK,
    **dict.fromkeys(("seborrheic keratosis", "pigmented benign keratosis"), Diagnosis.BKL),
    **dict.fromkeys(("solar lentigo", "lichenoid keratosis"), Diagnosis.BKL),
    "dermatofibroma": Diagnosis.DF,
    **dict.fromkeys(("vascular lesion", "angioma", "angiokeratoma", "pyogenic granuloma"), Diagnosis.VASC),
    "squamous cell carcinoma": Diagnosis.SCC,
}


def classify(metadata: Metadata) -> Diagnosis | Unmapped:
    """Return the class of an image, or why it has none.

    A path decides down to the level that its rule names. An upper level may be absent where a lower one
    is unambiguous, but must not contradict it. A former word counts where the path ends at its first level, a
    challenge's class only where there is neither.
    """
    has_path = any(_text(metadata, name) for name in _ALL_LEVELS)
    former, stated = _text(metadata, FORMER_FIELD), _text(metadata, CHALLENGE_FIELD)
    if stated and not has_path and not former:
        return _classify_stated(stated)
    malignancy = _text(metadata, MALIGNANCY_FIELD)
    if has_path:
        found = _classify_path(*(_text(metadata, name) for name in _DIAGNOSIS_FIELDS))
    else:
        found = _classify_former(former, malignancy)
    if has_path and former:
        found = _with_former(found, metadata, former)
    if stated and not isinstance(found, Unmapped) and stated != found:
        return Unmapped(CHALLENGE_FIELD, stated, f"contradicts the archive's diagnosis, which is {found}")
    return found


def _classify_former(former: str, malignancy: str) -> Diagnosis | Unmapped:
    """Return the class that a word of the archive's former vocabulary names, with what was said of malignancy."""
    if not former and malignancy:
        return Unmapped(
            MALIGNANCY_FIELD,
            malignancy,
            f"{_NAMES_NONE}; that takes {_LEVELS_IN_WORDS}, or the former diagnosis: "
            "download the table again with a current isic-cli",
        )
    if not former:
        return _classify_path("", "", "")
    found = _FORMER_WORDS.get(former.casefold())
    if found is None:
        return Unmapped(FORMER_FIELD, former, _NONE_OF_THEM)
    if (malignancy == "benign" and found in MALIGNANT) or (malignancy == "malignant" and found in BENIGN):
        return Unmapped(MALIGNANCY_FIELD, malignancy, f"contradicts the diagnosis, {former!r}")
    return found


def _with_former(found: Diagnosis | Unmapped, metadata: Metadata, former: str) -> Diagnosis | Unmapped:
    """Return what a path names, completed by a former word where it ends at its first level."""
    named = _FORMER_WORDS.get(former.casefold())
    if named is None:
        return found
    if isinstance(found, Diagnosis):
        return found if found is named else Unmapped(FORMER_FIELD, former, f"contradicts the path, which is {found}")
    if any(_text(metadata, name) for name in _ALL_LEVELS[1:]):
        return found
    first, expected = _text(metadata, _FIRST), next(rule.first for rule in _RULES if rule.diagnosis is named)
    return named if first == expected else Unmapped(_FIRST, first, f"contradicts the diagnosis, {former!r}")


def _classify_stated(stated: str) -> Diagnosis | Unmapped:
    if stated in CLASS_ORDER:
        return Diagnosis(stated)
    return Unmapped(CHALLENGE_FIELD, stated, _NONE_OF_THEM)


@lru_cache(1024)  # an archive has a few hundred paths, and hundreds of thousands of images
def _classify_path(first: str, second: str, third: str) -> Diagnosis | Unmapped:
    rules = [rule for rule in _RULES if _fits(rule, second, third)]
    if not rules:
        return _unclassified(first, second, third)
    rule = rules[0]
    if _is_named_elsewhere(third, rule):
        return Unmapped(_SECOND, second, f"contradicts the level below it, {third!r}")
    if first not in ("", rule.first):
        return Unmapped(_FIRST, first, f"contradicts the level below it, which belongs to {rule.first!r}")
    return rule.diagnosis


def _fits(rule: _Rule, second: str, third: str) -> bool:
    if second:
        return second == rule.second and rule.accepts(third)
    return bool(third) and bool(rule.third) and rule.accepts(third)


def _is_named_elsewhere(third: str, rule: _Rule | None = None) -> bool:
    return bool(third) and any(other.third and other.accepts(third) for other in _RULES if other is not rule)


def _unclassified(first: str, second: str, third: str) -> Unmapped:
    if not (first or second or third):
        return Unmapped(_FIRST, "", f"the archive gives no diagnosis ({_LEVELS_IN_WORDS})")
    if _is_named_elsewhere(third):
        return Unmapped(_SECOND, second, f"contradicts the level below it, {third!r}")
    if third:
        return Unmapped(_THIRD, third, _NONE_OF_THEM)
    if any(second == rule.second for rule in _RULES):
        return Unmapped(_THIRD, "", f"is absent, and {second!r} alone {_NAMES_NONE}")
    if second:
        return Unmapped(_SECOND, second, _NONE_OF_THEM)
    return Unmapped(_SECOND, "", f"is absent, and {first!r} alone {_NAMES_NONE}")


def is_of_diagnosis(field: str) -> bool:
    """Return whether a field is one that a class is read from."""
    return field in (*_ALL_LEVELS, FORMER_FIELD, MALIGNANCY_FIELD, CHALLENGE_FIELD)


_SPECIAL_SITES: Mapping[str, Site] = {
    "acral palms or soles": Site.PALMS_SOLES,
    "oral or genital": Site.ORAL_GENITAL,
}
_NO_SITE_ALONE = ("acral NOS", "nail NOS", "fingernail", "toenail")
# The longest path that fits decides. A path that is not here, and has no ancestor here, is unmapped:
# "Trunk" without its side, and the perianal region, which the challenge has no word for.
_SITE_PATHS: Mapping[tuple[str, ...], Site] = {
    ("Head and neck",): Site.HEAD_NECK,
    ("Head and neck", "Head", "Face", "Mouth"): Site.ORAL_GENITAL,
    ("Trunk", "Anterior trunk"): Site.ANTERIOR_TORSO,
    ("Trunk", "Lateral trunk"): Site.LATERAL_TORSO,
    ("Trunk", "Posterior trunk"): Site.POSTERIOR_TORSO,
    ("Upper extremity",): Site.UPPER_EXTREMITY,
    ("Upper extremity", "Hand", "Palm of hand"): Site.PALMS_SOLES,
    ("Lower extremity",): Site.LOWER_EXTREMITY,
    ("Lower extremity", "Foot", "Sole of foot"): Site.PALMS_SOLES,
    ("Anogenital region", "Genital region"): Site.ORAL_GENITAL,
}


def site_of(metadata: Metadata) -> Site | Unmapped | None:
    """Return the challenge's site, ``None`` where the archive gives none, or why it cannot be determined.

    ``anatom_site_special`` decides where it names a site; otherwise the path does; the former field
    ``anatom_site_general`` (the challenge's own words) counts only where the new ones are absent.
    """
    special = _text(metadata, archive_fields.SITE_SPECIAL)
    if special in _SPECIAL_SITES:
        return _SPECIAL_SITES[special]
    path = tuple(_text(metadata, name) for name in archive_fields.SITE)
    if any(path):
        return _site_by_path(path)
    if special in _NO_SITE_ALONE:
        return Unmapped(
            archive_fields.SITE_SPECIAL, special, f"does not tell the site without {archive_fields.SITE[0]}"
        )
    if special:
        return Unmapped(archive_fields.SITE_SPECIAL, special, "is not in the archive's vocabulary of sites")
    return _site_by_old_name(_text(metadata, archive_fields.FORMER_SITE))


def _site_by_path(path: tuple[str, ...]) -> Site | Unmapped:
    for length in range(len(path), 0, -1):
        if path[:length] in _SITE_PATHS:
            return _SITE_PATHS[path[:length]]
    given = " / ".join(part for part in path if part)
    return Unmapped(archive_fields.SITE[0], given, "has no counterpart among the eight sites of the challenge")


def _site_by_old_name(general: str) -> Site | Unmapped | None:
    if not general:
        return None
    if general in SITE_ORDER:
        return Site(general)
    return Unmapped(archive_fields.FORMER_SITE, general, _none_of(SITE_ORDER))


def sex_of(metadata: Metadata) -> Sex | Unmapped | None:
    """Return the sex as recorded, ``None`` where it is not, or why the value cannot be used."""
    return _plain(SEX, metadata)  # type: ignore[return-value]


def age_of(metadata: Metadata) -> float | Unmapped | None:
    """Return the age in years as recorded (the archive rounds to 5 and caps at 85), ``None``, or why not."""
    return _plain(AGE, metadata)  # type: ignore[return-value]


def read_field(field: AnyField, metadata: Metadata) -> float | str | Unmapped | None:
    """Return a field's value as recorded, ``None`` where it is not, or why it cannot be used.

    A field without a reader of its own has one of its words, or a number in its range, in the first of its columns.
    """
    reader = _READERS.get(field.name)
    return _plain(field, metadata) if reader is None else reader(metadata)


def _plain(field: AnyField, metadata: Metadata) -> float | str | Unmapped | None:
    name = field.archive_columns[0]
    value = _text(metadata, name)
    if not value:
        return None
    if isinstance(field, CategoryField):
        return field.values(value) if value in field.words else Unmapped(name, value, _none_of(field.words))
    try:
        number = float(value)
    except ValueError:
        return Unmapped(name, value, "is not a number")
    if not field.low <= number <= field.high:  # also false for NaN
        return Unmapped(name, value, f"is not between {field.low:g} and {field.high:g} {field.unit}")
    return number


def _none_of(words: Iterable[str]) -> str:
    return f"is none of {', '.join(words)}"


_READERS: Mapping[str, Callable[[Metadata], float | str | Unmapped | None]] = {SITE.name: site_of}


def image_type_of(metadata: Metadata) -> str:
    """Return what kind of image it is, as recorded (``IMAGE_TYPES``, or a word of before), or 'not stated'."""
    value = _text(metadata, archive_fields.IMAGE_TYPE)
    known = {name.casefold(): name for name in IMAGE_TYPES}
    return known.get(value.casefold(), value) or NOT_STATED


def _text(metadata: Metadata, name: str) -> str:
    value = metadata.get(name)
    return "" if value is None else str(value).strip()
