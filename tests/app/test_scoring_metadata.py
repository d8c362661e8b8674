"""Tables of metadata for a scoring: ids are text, known columns are read, and nothing is lost without a word."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deployments.scoring.columns import IMAGE, choose_columns, known_name, meaning_of
from deployments.scoring.patients import Patient, read_patients
from deployments.scoring.run import score
from lesion_core.errors import ManifestError
from lesion_core.fields.table import FIELDS
from lesion_core.isic.taxonomy import site_of
from lesion_core.labels import SITE_ORDER, Sex, Site
from lesion_core.settings import LesionSettings
from lesion_core.types import PatientMetadata
from tests.app.test_scoring import PROBABILITIES, read


def table_of(folder: Path, text: str | bytes, name: str = "known.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def patients_of(folder: Path, text: str | bytes) -> dict[str, Patient]:
    return {patient.image: patient for patient in read_patients(table_of(folder, text)).patients}


@pytest.fixture
def numbered(tmp_path: Path, lesion_jpeg: bytes) -> Path:
    """Images whose names look like numbers, dates, flags and missing values."""
    folder = tmp_path / "numbered"
    folder.mkdir()
    for name in (
        "001",
        "1",
        "0012",
        "1e5",
        "100000",
        "NA",
        "null",
        "None",
        "nan",
        "True",
        "2024-01-02",
        "1.0",
        "0x1",
    ):
        (folder / f"{name}.jpg").write_bytes(lesion_jpeg)
    return folder


@pytest.mark.parametrize("with_ending", [True, False])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_names_are_text_whatever_they_look_like(
    scoring_settings: LesionSettings, numbered: Path, tmp_path: Path, with_ending: bool, suffix: str
) -> None:
    names = sorted(path.name for path in numbered.iterdir())
    lines = [f"{name if with_ending else name.removesuffix('.jpg')},{age}" for age, name in enumerate(names, 20)]
    table = table_of(tmp_path, "\n".join(["image,age_years", *lines]))
    output = tmp_path / f"out.{suffix}"
    summary = score(scoring_settings, numbered, output, metadata=table)
    assert summary.n_refused == 0
    rows = read(output) if suffix == "csv" else pd.read_parquet(output).set_index("image")
    assert rows.loc[names, "age_years"].tolist() == list(range(20, 20 + len(names)))
    assert rows.loc[names, "table_row"].tolist() == list(range(2, 2 + len(names)))


def test_the_metadata_in_the_output_are_those_of_the_answer(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path
) -> None:
    """The archive's and the challenge's names give the very answers that the plain names give."""
    plain = table_of(tmp_path, "image,age_years,sex,site\na,61,female,anterior torso\nb,,,\n", "plain.csv")
    challenge = table_of(
        tmp_path, "image,age_approx,anatom_site_general,lesion_id,sex\na,61,anterior torso,L1,female\n", "ch.csv"
    )
    answers = {}
    for name, table in {"plain": plain, "challenge": challenge, "none": None}.items():
        score(scoring_settings, image_folder, tmp_path / f"{name}.parquet", metadata=table)
        answers[name] = pd.read_parquet(tmp_path / f"{name}.parquet").set_index("image")
    known = answers["challenge"].loc["a.jpg"]
    assert (known["age_years"], known["sex"], known["site"], known["table_row"]) == (
        61,
        "female",
        "anterior torso",
        2,
    )
    assert known[PROBABILITIES].tolist() == answers["plain"].loc["a.jpg", PROBABILITIES].tolist()
    assert known["p_MEL"] != answers["none"].loc["a.jpg", "p_MEL"]
    assert answers["plain"].loc["b.jpg", "table_row"] == 3
    assert pd.isna(answers["none"].loc["b.jpg", "table_row"])
    for name in ("plain", "none"):
        assert answers[name].loc["b.jpg", ["age_years", "sex", "site"]].isna().all()


HEADERS = {
    "this command's own": ("image,age_years,sex,site", "{},61,female,head/neck"),
    "challenge of 2019": ("image,age_approx,anatom_site_general,lesion_id,sex", "{},61,head/neck,BCN_1,female"),
    "challenge of 2020": (
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target",
        "{},IP_1,female,61.0,head/neck,unknown,benign,0",
    ),
    "challenge of 2024": (
        "isic_id,target,patient_id,age_approx,sex,anatom_site_general,clin_size_long_diam_mm,image_type,tbp_tile_type,"
        "tbp_lv_A,attribution,copyright_license,lesion_id,iddx_full,iddx_1,mel_mitotic_index,mel_thick_mm",
        "{},0,IP_1,61,female,head/neck,3.0,TBP tile: close-up,3D: XP,20.2,MSK,CC-BY,,Benign,Benign,,",
    ),
    "archive now": (
        "isic_id,attribution,copyright_license,age_approx,anatom_site_1,anatom_site_2,anatom_site_special,diagnosis_1,"
        "diagnosis_confirm_type,image_type,sex",
        "{},Anonymous,CC-0,61,Head and neck,,,Benign,,dermoscopic,female",
    ),
    "isic-cli, former": (
        "isic_id,attribution,copyright_license,acquisition_day,age_approx,anatom_site_general,anatom_site_special,"
        "benign_malignant,diagnosis,melanocytic,sex,nevus_type,mel_class,family_hx_mm",
        "{},Anonymous,CC-0,1,61,head/neck,,benign,nevus,True,female,blue,,False",
    ),
    "archive's first API": (
        "_id,_modelType,name,created,creator._id,dataset.name,meta.acquisition.image_type,meta.acquisition.pixelsX,"
        "meta.clinical.age_approx,meta.clinical.anatom_site_general,meta.clinical.benign_malignant,meta.clinical.sex",
        "5436,image,{},2014,54,UDA-1,dermoscopic,1022,61,head/neck,benign,female",
    ),
    "HAM10000": (
        "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset",
        "HAM_1,{},bkl,histo,61.0,female,scalp,v",
    ),
    "in capitals": ("Image,Age_Years,SEX,Site", "{},61,Female,Head/Neck"),
}


@pytest.mark.parametrize("layout", HEADERS)
def test_known_layouts_are_read_as_what_they_are(tmp_path: Path, layout: str) -> None:
    header, line = HEADERS[layout]
    (patient,) = patients_of(tmp_path, f"{header}\n{line.format('ISIC_0000001')}\n").values()
    assert patient.image == "ISIC_0000001"
    assert patient.metadata == PatientMetadata(age_years=61, sex=Sex.FEMALE, site=Site.HEAD_NECK)
    assert (patient.problem, patient.note) == ("", "")


def test_the_archives_own_tables_are_read_row_for_row(isic_folder: Path) -> None:
    """Both descriptions of 12,760 images mean the same, and no row is lost."""
    archive = read_patients(isic_folder / "archive" / "metadata.csv").patients
    challenge = read_patients(isic_folder / "challenge" / "ISIC_2019_Training_Metadata.csv").patients
    by_id = {patient.image.removesuffix("_downsampled"): patient for patient in challenge}
    assert len(by_id) == len(archive) == 12760
    assert all(not patient.problem for patient in (*archive, *challenge))
    assert {patient.image: patient.metadata for patient in archive} == {
        image: patient.metadata for image, patient in by_id.items()
    }


def test_places_of_ham10000_are_those_of_the_published_challenge(tmp_path: Path) -> None:
    places = {
        **dict.fromkeys(("abdomen", "chest"), Site.ANTERIOR_TORSO),
        **dict.fromkeys(("ear", "face", "neck", "scalp"), Site.HEAD_NECK),
        **dict.fromkeys(("hand", "upper extremity"), Site.UPPER_EXTREMITY),
        **dict.fromkeys(("foot", "lower extremity"), Site.LOWER_EXTREMITY),
        "back": Site.POSTERIOR_TORSO,
        "acral": Site.PALMS_SOLES,
        "genital": Site.ORAL_GENITAL,
        "unknown": None,
        "trunk": None,
    }
    rows = "".join(f"{place},{place}\n" for place in places)
    found = patients_of(tmp_path, f"image_id,localization\n{rows}")
    assert {place: patient.metadata.site for place, patient in found.items()} == places
    assert {place for place, patient in found.items() if patient.note} == {"trunk"}
    assert not any(patient.problem for patient in found.values())


def test_a_place_without_a_counterpart_is_unknown_and_said_so(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path
) -> None:
    table = table_of(
        tmp_path,
        "isic_id,anatom_site_1,anatom_site_2,anatom_site_special,anatom_site_general\n"
        "a,Trunk,,,\nb,Lower extremity,Foot,acral palms or soles,lower extremity\nc,Trunk,,,anterior torso\n",
    )
    summary = score(scoring_settings, image_folder, tmp_path / "out.csv", metadata=table)
    rows = read(tmp_path / "out.csv")
    assert rows.loc[["a.jpg", "b.jpg", "c.jpg"], "site"].tolist() == ["", "palms/soles", "anterior torso"]
    assert rows.loc["a.jpg", "metadata_note"] == "anatom_site_1 'Trunk' has no counterpart among the eight sites"
    assert rows.loc[["b.jpg", "c.jpg"], "metadata_note"].tolist() == ["", ""]
    assert "1 × a site without a counterpart, left unknown" in "\n".join(summary.lines())


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("abc,,", "age_years 'abc' is not a number"),
        ("200,,", "age_years '200' is not between 0 and 120 years"),
        ("-5,,", "age_years '-5' is not between 0 and 120 years"),
        ("inf,,", "age_years 'inf' is not between"),
        ("61 years,,", "age_years '61 years' is not a number"),
        (",x,", "sex 'x' is none of female, male"),
        (",m,", "sex 'm' is none of female, male"),
        (",,left arm", "site 'left arm' is none of anterior torso, head/neck"),
        ("abc,x,left arm", "age_years 'abc' is not a number; sex 'x' is none of female, male; site 'left arm'"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_for_its_image(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path, cells: str, words: str
) -> None:
    table = table_of(tmp_path, f"image,age_years,sex,site\na,{cells}\nb,61,male,head/neck\n")
    summary = score(scoring_settings, image_folder, tmp_path / "out.csv", metadata=table)
    rows = read(tmp_path / "out.csv")
    assert f"metadata cannot be used: {words}" in rows.loc["a.jpg", "refused"]
    assert "correct row 2 of the table" in rows.loc["a.jpg", "refused"]
    assert pd.isna(rows.loc["a.jpg", "p_MEL"])
    assert rows.loc["b.jpg", "leading"]
    assert any(line.startswith(f"  refused: 1 × metadata cannot be used: {words}") for line in summary.lines())


def test_words_for_unknown_are_unknown(tmp_path: Path) -> None:
    words = ["", "unknown", "Unknown", "NA", "N/A", "nan", "None", "null", "NULL", " "]
    rows = "".join(f"{number},{word},{word},{word}\n" for number, word in enumerate(words))
    found = patients_of(tmp_path, f"image,age_approx,sex,anatom_site_general\n{rows}")
    assert [patient.metadata for patient in found.values()] == [PatientMetadata()] * len(words)
    assert not any(patient.problem or patient.note for patient in found.values())


def test_columns_that_agree_are_read_together(tmp_path: Path) -> None:
    found = patients_of(
        tmp_path,
        "image,isic_id,age_years,age_approx,site,anatom_site_general\n"
        "a.jpg,a,61.0,61,head/neck,\nb.jpg,b,,40,,upper extremity\n",
    )
    assert found["a.jpg"].metadata == PatientMetadata(age_years=61, site=Site.HEAD_NECK)
    assert found["b.jpg"].metadata == PatientMetadata(age_years=40, site=Site.UPPER_EXTREMITY)


def test_rows_and_images_without_each_other_are_counted_and_named(
    scoring_settings: LesionSettings, image_folder: Path, tmp_path: Path
) -> None:
    table = table_of(
        tmp_path, "image,sex,lesion_id\na,female,1\nz.jpg,male,2\ny,male,3\na.jpg,female,4\na,female,5\n"
    )
    text = "\n".join(score(scoring_settings, image_folder, tmp_path / "out.csv", metadata=table).lines())
    assert "metadata: 1 images have a row in" in text
    assert "metadata: 3 images have no row (b.jpg, c.jpg, cut.jpg)" in text
    assert "metadata: 2 rows have no image (z.jpg, y)" in text
    assert "metadata: 2 × a row that repeats an earlier one" in text
    assert "columns: image as image, sex as sex" in text
    assert "columns not used: lesion_id" in text
    without = score(scoring_settings, image_folder, tmp_path / "out.csv").lines()
    assert any("no table was given, so age, sex and site are unknown" in line for line in without)


def test_a_name_that_fits_two_images_is_refused(
    empty_settings: LesionSettings, image_folder: Path, lesion_jpeg: bytes, tmp_path: Path
) -> None:
    (image_folder / "a.png").write_bytes(lesion_jpeg)
    with pytest.raises(
        ManifestError, match=r"one file for 'a' in row 2 of .* got a\.jpg, a\.png; write the name with"
    ):
        score(
            empty_settings, image_folder, tmp_path / "out.csv", metadata=table_of(tmp_path, "image,sex\na,female\n")
        )


def test_names_are_found_beside_raw_files_in_paths_and_in_either_form_of_accents(
    scoring_settings: LesionSettings, image_folder: Path, lesion_jpeg: bytes, tmp_path: Path
) -> None:
    (image_folder / "a.NEF").write_bytes(b"raw")
    (image_folder / "Mu\u0308ller.v2.jpg").write_bytes(lesion_jpeg)  # decomposed, as some file systems have it
    table = table_of(tmp_path, "image,age\na,20\nC:\\images\\b.jpg,30\nimages/c.jpg,40\nM\u00fcller.v2,50\n")
    score(scoring_settings, image_folder, tmp_path / "out.csv", metadata=table)
    ages = read(tmp_path / "out.csv")["age_years"]
    assert ages[["a.jpg", "b.jpg", "c.jpg", "Mu\u0308ller.v2.jpg"]].tolist() == [20, 30, 40, 50]
    assert np.isnan(ages["a.NEF"])


def test_columns_to_ignore_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    assert choose_columns(path, ("image", "sex", "doctor"), ["doctor"]).ignored == ("doctor",)
    with pytest.raises(ManifestError, match="got no docter; it has image, sex, doctor"):
        choose_columns(path, ("image", "sex", "doctor"), ["docter"])


def test_names_mean_one_thing_each() -> None:
    assert {meaning_of(name) for name in IMAGE} == {"image"}
    for field in FIELDS:
        assert {meaning_of(name) for name in field.columns} == {field.name}
    assert meaning_of("diagnosis") is None
    assert known_name("diagnosis") == "diagnosis"
    assert known_name("gender") is None
    assert all(site_of({"anatom_site_general": site}) == site for site in SITE_ORDER)
