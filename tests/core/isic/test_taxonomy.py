import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.isic.folder import read_folder
from lesion_core.isic.taxonomy import Unmapped, age_of, classify, sex_of, site_of
from lesion_core.labels import Diagnosis, Sex, Site

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
def test_a_site_that_cannot_be_told_is_reported(metadata: dict[str, str]) -> None:
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


@given(
    st.dictionaries(
        st.sampled_from([*path("a", "b", "c"), *sites("a", "b"), "sex", "age_approx"]),
        st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans()),
    )
)
def test_nothing_that_an_archive_may_say_breaks_the_rules(metadata: dict[str, object]) -> None:
    assert isinstance(classify(metadata), Diagnosis | Unmapped)
    assert isinstance(site_of(metadata), Site | Unmapped | None)
    assert isinstance(sex_of(metadata), Sex | Unmapped | None)
    assert isinstance(age_of(metadata), float | Unmapped | None)


def test_the_rules_reproduce_the_published_ground_truth(isic_folder: Path) -> None:
    truth = _official(isic_folder / "challenge" / "ISIC_2019_Training_GroundTruth.csv")
    metadata = _official(isic_folder / "challenge" / "ISIC_2019_Training_Metadata.csv")
    entries = read_folder(isic_folder / "archive").entries
    assert len(entries) == len(truth) == 12_760
    for entry in entries:
        label, facts = truth[entry.isic_id], metadata[entry.isic_id]
        assert label[str(classify(entry.row))] == "1.0", entry.isic_id
        assert (site_of(entry.row) or "") == facts["anatom_site_general"], entry.isic_id
        assert (sex_of(entry.row) or "") == facts["sex"], entry.isic_id
        assert age_of(entry.row) == (float(facts["age_approx"]) if facts["age_approx"] else None), entry.isic_id


def _official(file: Path) -> dict[str, dict[str, str]]:
    with file.open(newline="") as stream:
        return {row["image"].removesuffix("_downsampled"): row for row in csv.DictReader(stream)}
