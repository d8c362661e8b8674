"""Files of metadata for a scoring: read as spreadsheets leave them, or refused before the first image."""

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.scoring.run import score
from lesion_core.errors import ManifestError
from lesion_core.labels import Sex, Site
from lesion_core.settings import LesionSettings
from lesion_core.types import PatientMetadata
from tests.app.test_scoring_metadata import patients_of, table_of

PLAIN = "image,age_years,sex,site\n001,61.5,female,head/neck\nMüller.jpg,40,male,\n"
EXCEL = "image;age_years;sex;site;;\r\n001;61,5;female;head/neck;;\r\nMüller.jpg;40;male;;;\r\n;;;;;\r\n"


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.encode(),
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        ("\n\n" + PLAIN + "\n,,,\n").encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.replace(",", "\t").encode("utf-16-be"),
        PLAIN.replace(",", "|").encode(),
        EXCEL.encode(),
        ("sep=;\r\n" + EXCEL).encode(),
        codecs.BOM_UTF8 + ("sep=;\r\n" + EXCEL).encode(),
        PLAIN.replace("61.5", '"61,5"').encode(),
        PLAIN.replace("001,", '"001", ').encode(),
        "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN.split()).encode(),
    ],
    ids=[
        *("UTF-8", "byte order mark", "CRLF", "CR", "empty lines", "UTF-16 with tabs", "UTF-16 big-endian", "bars"),
        *("semicolons and decimal commas", "sep=", "sep= after a mark", "quoted decimal comma", "blanks", "quotes"),
    ],
)
def test_tables_are_read_as_spreadsheets_leave_them(tmp_path: Path, body: bytes) -> None:
    found = patients_of(tmp_path, body)
    assert {image: patient.metadata for image, patient in found.items()} == {
        "001": PatientMetadata(age_years=61.5, sex=Sex.FEMALE, site=Site.HEAD_NECK),
        "Müller.jpg": PatientMetadata(age_years=40, sex=Sex.MALE),
    }


def _missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _written(body: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(body)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, "No such file"),
        (_folder, "got a folder; name the file in it"),
        (_loop, "symbolic links"),
        (_written(b""), "got an empty file"),
        (_written(b"\n \n"), "got an empty file"),
        (_written(b",,\n,,\n"), "expected known columns"),
        (_written(b"image,sex\n"), "expected rows below the header"),
        (_written(b"image,sex\n,\n\n"), "expected rows below the header"),
        (_written(b"PK\x03\x04\x14\0"), "an Excel workbook"),
        (_written(b"\xd0\xcf\x11\xe0\xa1\xb1"), "an old Excel workbook"),
        (_written(b"PAR1\0"), "a Parquet file"),
        (_written(b'{"image": "a"}'), "a JSON document"),
        (_written(b"<!doctype html>"), "an HTML or XML document"),
        (_written(b"\xff\xd8\xff\xe0"), "got an image"),
        (_written(b"image,sex\na\0,female\n"), "NUL characters"),
        (_written("image,sex\na,female".encode("utf-16-le")), "NUL characters"),
        (
            _written("image,sex\nMüller,female\n".encode("latin-1")),
            r"in UTF-8 or UTF-16, .* at byte 11; export it as",
        ),
        (_written(b'image,sex\n"a,female\n'), "unexpected end of data"),
        (_written(b"image,sex\na," + b"x" * 200_000), "field limit"),
        (_written(b"image,sex\na,female,x\n"), "expected 2 cells in row 2 .* got 3"),
        (_written(b"image,sex\na\n"), "expected 2 cells in row 2 .* got 1"),
        (_written(b"image,age_years\na,61,5\n"), "expected 2 cells in row 2 .* got 3"),
        (_written(b"image,sex,Sex\na,female,male\n"), "each column once .* got sex again"),
        (_written(b",image,sex\n0,a,female\n"), "none for column 1"),
        (_written(b"image,sex\n,female\n"), "image's name in row 2"),
    ],
)
def test_what_is_no_table_is_refused_before_the_first_image(
    empty_settings: LesionSettings, image_folder: Path, tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    table = tmp_path / "known.csv"
    make(table)
    with pytest.raises(ManifestError, match=words):
        score(empty_settings, image_folder, tmp_path / "out.csv", metadata=table)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,age_years\na,61\n", "also name"),
        ("age_years,sex\n61,male\n", r"names the image \(image, image_name, .* got age_years, sex"),
        ("image,age_yaers\na,61\n", r"also age_yaers \(did you mean age_years\?\)"),
        ("image,age,gender\na,61,female\n", r"also gender\. Known are, for the image: image, .*--ignore gender"),
        ("image;Alter;Geschlecht\na;61;w\n", "also Alter.*, Geschlecht"),
        ("image,sex,seen by\na,female,Grey\n", r"--ignore 'seen by'"),
        ("image,diagnosis\na,nevus\n", "a column with age, sex or site"),
        ("image,sex,meta.clinical.sex\na,female,female\n", "one column sex"),
        ("image,age_years,age_approx\na,61,55\n", r"row 2 of .* \(a\) age_years and age_approx say 61 and 55"),
        ("image,site,anatom_site_1\na,head/neck,Upper extremity\n", "site and anatom_site_1 say head/neck and upper"),
        ("image,isic_id,sex\na,b,female\n", "one image in row 2 of .* got a and b"),
        ("image,sex\na,female\na.jpg,male\n", "rows 2 and 3 are both about a.jpg and differ"),
        ("image,sex\na,female\na,\n", "rows 2 and 3 are both about a.jpg and differ"),
        ("image,sex\na,x\na,y\n", "rows 2 and 3 are both about a.jpg and differ"),
        ("image,sex\n1,female\n2,male\n", r"got none: the table names 1, 2, the folder has a.jpg, b.jpg, c.jpg"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused_before_the_first_image(
    empty_settings: LesionSettings, image_folder: Path, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ManifestError, match=words):
        score(empty_settings, image_folder, tmp_path / "out.csv", metadata=table_of(tmp_path, text))
    assert not (tmp_path / "out.csv").exists()
