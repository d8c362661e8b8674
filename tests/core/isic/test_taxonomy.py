import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesion_core.isic.mirror.folder import Entry, read_folder
from lesion_core.isic.taxonomy import Unmapped, age_of, classify, image_type_of, sex_of, site_of
from lesion_core.labels import Diagnosis, Sex, Site

N_REAL = 12_760
MELANOCYTIC = "Benign melanocytic proliferations"
EPIDERMAL = "Benign epidermal proliferations"
SCC_PARENT = "Malignant epidermal proliferations"
BCC_PARENT = "Malignant adnexal epithelial proliferations - Follicular"
MEL_PARENT = "Malignant melanocytic proliferations (Melanoma)"
VASC_PARENT = "Benign soft tissue proliferations - Vascular"
DF_PARENT = "Benign soft tissue proliferations - Fibro-histiocytic"
AK_PARENT = "Indeterminate epidermal proliferations"


def path(*levels: str) -> dict[str, str]:
    return {f"diagnosis_{number}": level for number, level in enumerate(levels, start=1) if level}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (("Malignant", MEL_PARENT, "Melanoma, NOS"), Diagnosis.MEL),
        (("Malignant", MEL_PARENT, "Melanoma in situ"), Diagnosis.MEL),
        (("Malignant", MEL_PARENT, "Melanoma Invasive"), Diagnosis.MEL),
        (("Malignant", MEL_PARENT), Diagnosis.MEL),
        (("Benign", MELANOCYTIC, "Nevus"), Diagnosis.NV),
        (("Benign", MELANOCYTIC, "Nevus", "Nevus, Spitz"), Diagnosis.NV),
        (("Malignant", BCC_PARENT, "Basal cell carcinoma"), Diagnosis.BCC),
        (("Malignant", BCC_PARENT, "Basal cell carcinoma", "Basal cell carcinoma, Nodular"), Diagnosis.BCC),
        (("Indeterminate", AK_PARENT, "Solar or actinic keratosis"), Diagnosis.AK),
        (("Benign", EPIDERMAL, "Seborrheic keratosis"), Diagnosis.BKL),
        (("Benign", EPIDERMAL, "Pigmented benign keratosis"), Diagnosis.BKL),
        (("Benign", EPIDERMAL, "Solar lentigo"), Diagnosis.BKL),
        (("Benign", EPIDERMAL, "Lichen planus like keratosis"), Diagnosis.BKL),
        (("Benign", DF_PARENT, "Dermatofibroma"), Diagnosis.DF),
        (("Benign", VASC_PARENT), Diagnosis.VASC),  # no third level: the usual case
        (("Benign", VASC_PARENT, "Hemangioma"), Diagnosis.VASC),
        (("Malignant", SCC_PARENT, "Squamous cell carcinoma, NOS"), Diagnosis.SCC),
        (("Malignant", SCC_PARENT, "Squamous cell carcinoma in situ"), Diagnosis.SCC),
        (("", "", "Nevus"), Diagnosis.NV),
        (("", VASC_PARENT), Diagnosis.VASC),
    ],
)
def test_a_documented_path_names_its_class(levels: tuple[str, ...], expected: Diagnosis) -> None:
    assert classify(path(*levels)) is expected


@pytest.mark.parametrize(
    ("levels", "field"),
    [
        ((), "diagnosis_1"),
        (("Benign",), "diagnosis_2"),
        (("Malignant",), "diagnosis_2"),
        (("Indeterminate",), "diagnosis_2"),
        (("Benign", MELANOCYTIC), "diagnosis_3"),
        (("Benign", EPIDERMAL), "diagnosis_3"),
        (("Benign", EPIDERMAL, "Epidermal nevus"), "diagnosis_3"),
        (("Benign", MELANOCYTIC, "Lentigo simplex"), "diagnosis_3"),
        (("Indeterminate", AK_PARENT, "Solar or actinic cheilitis"), "diagnosis_3"),
        (
            ("Indeterminate", "Indeterminate melanocytic proliferations", "Atypical melanocytic neoplasm"),
            "diagnosis_3",
        ),
        (("Malignant", SCC_PARENT, "Keratoacanthoma"), "diagnosis_3"),
        (("Malignant", BCC_PARENT, "Baso-squamous carcinoma"), "diagnosis_3"),
        (("Benign", "Cysts"), "diagnosis_2"),
        (("benign", MELANOCYTIC, "nevus"), "diagnosis_3"),
        # Levels that contradict each other.
        (("Malignant", MELANOCYTIC, "Nevus"), "diagnosis_1"),
        (("Benign", EPIDERMAL, "Nevus"), "diagnosis_2"),
        (("Malignant", MEL_PARENT, "Nevus"), "diagnosis_2"),
        (("Benign", VASC_PARENT, "Basal cell carcinoma"), "diagnosis_2"),
    ],
)
def test_any_other_path_is_reported_and_never_guessed(levels: tuple[str, ...], field: str) -> None:
    found = classify(path(*levels))
    assert isinstance(found, Unmapped)
    assert found.field == field
    assert found.value == path(*levels).get(field, "")
    assert found.reason


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("melanoma", Diagnosis.MEL),
        ("melanoma metastasis", Diagnosis.MEL),
        ("nevus", Diagnosis.NV),
        ("Nevus", Diagnosis.NV),
        ("nevus spilus", Diagnosis.NV),
        ("basal cell carcinoma", Diagnosis.BCC),
        ("actinic keratosis", Diagnosis.AK),
        ("seborrheic keratosis", Diagnosis.BKL),
        ("pigmented benign keratosis", Diagnosis.BKL),
        ("solar lentigo", Diagnosis.BKL),
        ("lichenoid keratosis", Diagnosis.BKL),
        ("dermatofibroma", Diagnosis.DF),
        ("vascular lesion", Diagnosis.VASC),
        ("angioma", Diagnosis.VASC),
        ("angiokeratoma", Diagnosis.VASC),
        ("pyogenic granuloma", Diagnosis.VASC),
        ("squamous cell carcinoma", Diagnosis.SCC),
    ],
)
def test_a_word_of_the_former_vocabulary_names_its_class(word: str, expected: Diagnosis) -> None:
    assert classify({"diagnosis": word}) is expected


@pytest.mark.parametrize(
    "word",
    [
        *(
            "lentigo NOS",
            "lentigo simplex",
            "AIMP",
            "atypical melanocytic proliferation",
            "atypical spitz tumor",
            "other",
        ),
        *("cafe-au-lait macule", "merkel cell carcinoma", "epidermal nevus", "ephelis", "unknown", "scar", "NV"),
    ],
)
def test_a_former_word_that_means_none_or_several_is_reported(word: str) -> None:
    found = classify({"diagnosis": word, "benign_malignant": "benign"})
    assert isinstance(found, Unmapped)
    assert (found.field, found.value) == ("diagnosis", word)


@pytest.mark.parametrize("value", ["benign", "malignant", "indeterminate", "indeterminate/benign"])
def test_benign_or_malignant_alone_is_no_class_and_says_what_is_needed(value: str) -> None:
    found = classify({"benign_malignant": value})
    assert isinstance(found, Unmapped)
    assert (found.field, found.value) == ("benign_malignant", value)
    for words in ("diagnosis_1 to diagnosis_5", "former diagnosis", "current isic-cli"):
        assert words in found.reason


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"diagnosis": "melanoma", "benign_malignant": "benign"}, "benign_malignant"),
        ({"diagnosis": "nevus", "benign_malignant": "malignant"}, "benign_malignant"),
        ({"diagnosis": "nevus", **path("Malignant")}, "diagnosis_1"),
        ({"diagnosis": "melanoma", **path("Benign", MELANOCYTIC, "Nevus")}, "diagnosis"),
        ({"diagnosis": "nevus", "challenge_class": "MEL"}, "challenge_class"),
        ({"diagnosis": "nevus", **path("Benign", MELANOCYTIC)}, "diagnosis_3"),  # the path goes on, and names none
        ({"diagnosis": "nevus", **path("Benign", EPIDERMAL, "Epidermal nevus")}, "diagnosis_3"),
    ],
)
def test_a_former_word_overrules_nothing(metadata: dict[str, str], field: str) -> None:
    found = classify(metadata)
    assert isinstance(found, Unmapped)
    assert found.field == field


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"diagnosis": "nevus", "benign_malignant": "benign"}, Diagnosis.NV),
        ({"diagnosis": "actinic keratosis", "benign_malignant": "benign"}, Diagnosis.AK),
        ({"diagnosis": "melanoma", "benign_malignant": "indeterminate/malignant"}, Diagnosis.MEL),
        ({"diagnosis": "nevus", **path("Benign")}, Diagnosis.NV),
        ({"diagnosis": "actinic keratosis", **path("Indeterminate")}, Diagnosis.AK),
        ({"diagnosis": "other", **path("Benign", MELANOCYTIC, "Nevus")}, Diagnosis.NV),
        ({"diagnosis": "vascular lesion", **path("Benign", VASC_PARENT)}, Diagnosis.VASC),
        ({"benign_malignant": "malignant", **path("Malignant", MEL_PARENT)}, Diagnosis.MEL),
    ],
)
def test_a_former_word_completes_what_it_agrees_with(metadata: dict[str, str], expected: Diagnosis) -> None:
    assert classify(metadata) is expected


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("dermoscopic", "dermoscopic"),
        (" Dermoscopic ", "dermoscopic"),
        ("clinical: close-up", "clinical: close-up"),
        ("rcm: TILE", "RCM: tile"),
        ("clinical", "clinical"),  # a word of before, which does not say whether it is a close-up
        ("", "not stated"),
        (None, "not stated"),
    ],
)
def test_a_kind_of_image_is_the_archives_word(stated: str | None, expected: str) -> None:
    assert image_type_of({"image_type": stated}) == expected


def sites(*levels: str, special: str = "", general: str = "") -> dict[str, str]:
    numbered = {f"anatom_site_{number}": level for number, level in enumerate(levels, start=1)}
    return {**numbered, "anatom_site_special": special, "anatom_site_general": general}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (sites("Head and neck"), Site.HEAD_NECK),
        (sites("Head and neck", "Head", "Face", "Oral region", "Upper lip"), Site.HEAD_NECK),
        (sites("Head and neck", "Head", "Face", "Mouth", "Tongue"), Site.ORAL_GENITAL),
        (sites("Trunk", "Anterior trunk", "Anterior chest"), Site.ANTERIOR_TORSO),
        (sites("Trunk", "Lateral trunk"), Site.LATERAL_TORSO),
        (sites("Trunk", "Posterior trunk"), Site.POSTERIOR_TORSO),
        (sites("Upper extremity", "Hand", "Dorsum of hand"), Site.UPPER_EXTREMITY),
        (sites("Upper extremity", "Hand", "Palm of hand", "Central palm"), Site.PALMS_SOLES),
        (sites("Lower extremity"), Site.LOWER_EXTREMITY),
        (sites("Lower extremity", "Foot", "Sole of foot"), Site.PALMS_SOLES),
        (sites("Anogenital region", "Genital region", "Vulva"), Site.ORAL_GENITAL),
        (sites(special="acral palms or soles"), Site.PALMS_SOLES),
        (sites("Lower extremity", special="acral palms or soles"), Site.PALMS_SOLES),
        (sites(special="oral or genital"), Site.ORAL_GENITAL),
        (sites("Upper extremity", special="fingernail"), Site.UPPER_EXTREMITY),
        (sites(), None),
        (sites(general="posterior torso"), Site.POSTERIOR_TORSO),
        (sites("Head and neck", general="posterior torso"), Site.HEAD_NECK),
    ],
)
def test_a_site_is_that_of_the_challenge(metadata: dict[str, str], expected: Site | None) -> None:
    assert site_of(metadata) is expected


@pytest.mark.parametrize(
    "metadata",
    [
        sites("Trunk"),
        sites("Anogenital region"),
        sites("Anogenital region", "Perianal region"),
        sites("Left thigh, see letter"),
        sites(special="nail NOS"),
        sites(special="behind the ear"),
        sites(general="torso"),
        {"anatom_site_2": "Anterior trunk"},
    ],
)
def test_a_site_that_cannot_be_distinguished_is_reported(metadata: dict[str, str]) -> None:
    found = site_of(metadata)
    assert isinstance(found, Unmapped)
    assert found.value
    assert found.reason


@pytest.mark.parametrize("site", list(Site))
def test_every_former_site_name_is_still_read(site: Site) -> None:
    assert site_of({"anatom_site_general": str(site)}) is site


def test_sex_is_read_or_reported() -> None:
    assert sex_of({"sex": "female"}) is Sex.FEMALE
    assert sex_of({"sex": "male"}) is Sex.MALE
    assert sex_of({}) is None
    assert sex_of({"sex": "unknown"}) == Unmapped("sex", "unknown", "is none of female, male")


@pytest.mark.parametrize(("given_age", "expected"), [(0, 0.0), (85, 85.0), ("45", 45.0), ("", None), (None, None)])
def test_age_is_read_in_years(given_age: object, expected: float | None) -> None:
    assert age_of({"age_approx": given_age}) == expected


@pytest.mark.parametrize("given_age", ["old", "nan", "inf", -1, 121, "4 5"])
def test_an_impossible_age_is_reported(given_age: object) -> None:
    assert isinstance(age_of({"age_approx": given_age}), Unmapped)


@settings(suppress_health_check=[HealthCheck.too_slow])  # making the first texts takes long on a busy machine
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *path("a", "b", "c"),
                *sites("a", "b"),
                *("sex", "age_approx", "challenge_class", "diagnosis", "benign_malignant", "image_type"),
            ]
        ),
        st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans()),
    )
)
def test_nothing_that_an_archive_may_say_breaks_the_rules(metadata: dict[str, object]) -> None:
    assert isinstance(classify(metadata), Diagnosis | Unmapped)
    assert isinstance(site_of(metadata), Site | Unmapped | None)
    assert isinstance(sex_of(metadata), Sex | Unmapped | None)
    assert isinstance(age_of(metadata), float | Unmapped | None)
    assert image_type_of(metadata)


@pytest.mark.parametrize("stated", list(Diagnosis))
def test_a_challenges_class_counts_where_the_archive_gives_no_path(stated: Diagnosis) -> None:
    assert classify({"challenge_class": str(stated)}) is stated


@pytest.mark.parametrize("stated", ["UNK", "NMSC", "mel", "Nevus"])
def test_a_challenges_class_that_is_none_of_the_eight_is_reported(stated: str) -> None:
    found = classify({"challenge_class": stated})
    assert isinstance(found, Unmapped)
    assert (found.field, found.value) == ("challenge_class", stated)


def test_a_challenges_class_never_overrules_the_archive() -> None:
    nevus = path("Benign", MELANOCYTIC, "Nevus")
    assert classify({**nevus, "challenge_class": "NV"}) is Diagnosis.NV
    contradicted = classify({**nevus, "challenge_class": "MEL"})
    assert isinstance(contradicted, Unmapped)
    assert (contradicted.field, contradicted.value) == ("challenge_class", "MEL")
    assert "NV" in contradicted.reason


@pytest.mark.parametrize(
    "levels", [("Benign",), ("Benign", "Cysts"), ("", "", "", "Nevus, Spitz"), ("", "", "", "", "x")]
)
def test_a_challenges_class_does_not_rescue_a_path_that_names_none(levels: tuple[str, ...]) -> None:
    assert isinstance(classify({**path(*levels), "challenge_class": "NV"}), Unmapped)


@dataclass(frozen=True)
class Official:
    """The rows of the shared archive, and what the challenge published of the same images."""

    entries: tuple[Entry, ...]
    truth: dict[str, dict[str, str]]
    metadata: dict[str, dict[str, str]]

    def agreeing(self, agrees: Callable[[Entry, dict[str, str], dict[str, str]], bool]) -> int:
        """Count the rows of which ``agrees(entry, truth, metadata)`` holds."""
        return sum(agrees(entry, self.truth[entry.isic_id], self.metadata[entry.isic_id]) for entry in self.entries)


@pytest.fixture(scope="module")
def official(isic_folder: Path) -> Official:
    tables = isic_folder / "challenge"
    truth, metadata = (_official(tables / f"ISIC_2019_Training_{name}.csv") for name in ("GroundTruth", "Metadata"))
    entries = read_folder(isic_folder / "archive").entries
    assert len(entries) == len(truth) == len(metadata) == N_REAL
    return Official(entries, truth, metadata)


def _official(file: Path) -> dict[str, dict[str, str]]:
    with file.open(newline="") as stream:
        return {row["image"].removesuffix("_downsampled"): row for row in csv.DictReader(stream)}


def test_the_class_is_the_official_one_for_every_row(official: Official) -> None:
    def agrees(entry: Entry, truth: dict[str, str], _: dict[str, str]) -> bool:
        found = classify(entry.row)
        return isinstance(found, Diagnosis) and [name for name, one in truth.items() if one == "1.0"] == [str(found)]

    assert official.agreeing(agrees) == N_REAL


def test_the_site_is_the_official_one_for_every_row(official: Official) -> None:
    assert (
        official.agreeing(lambda entry, _, facts: _cell(site_of(entry.row)) == facts["anatom_site_general"]) == N_REAL
    )


def test_the_age_is_the_official_one_for_every_row(official: Official) -> None:
    def agrees(entry: Entry, _: dict[str, str], facts: dict[str, str]) -> bool:
        return age_of(entry.row) == (float(facts["age_approx"]) if facts["age_approx"] else None)

    assert official.agreeing(agrees) == N_REAL


def test_the_sex_is_the_official_one_for_every_row(official: Official) -> None:
    assert official.agreeing(lambda entry, _, facts: _cell(sex_of(entry.row)) == facts["sex"]) == N_REAL


def test_what_is_missing_officially_stays_missing(official: Official) -> None:
    """As many unknown values as the challenge leaves empty: nothing is filled in."""
    for name, read in (("age_approx", age_of), ("sex", sex_of), ("anatom_site_general", site_of)):
        n_empty = sum(not facts[name] for facts in official.metadata.values())
        assert n_empty > 0
        assert sum(read(entry.row) is None for entry in official.entries) == n_empty


def _cell(value: object) -> str:
    return "" if value is None else str(value)
