"""Ids that stand for nobody: taken for missing ones, by whatever route they come, and reported."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.dataset.splitting.groups import group_images
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.catalogue import Catalogue, CatalogueRow
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.placeholders import FEWEST_CROWD, MOST_YEARS, find_crowds, id_of, is_placeholder
from lesion_core.isic.snapshot import read_images, read_issues
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.statements import Statement
from lesion_core.stores.local import LocalStore
from tests.core.isic.faulty import FaultyServer, listed, page, send
from tests.core.isic.folders import VASCULAR, jpeg, row, write_folder

SEARCH = "/api/v2/images/search/"
NOBODY = [
    *("0", "00", "0.0", "-1", "-1.0", "-9", "-99", "-999", "999", "9999.0", "IP_0000000", "IL_0000000", "il_0000000"),
    *("NA", "N/A", "n/a", "nan", "NaN", "<NA>", "#N/A", "none", "None", "NULL", "unknown", " Unknown ", "UNK", "?"),
    *("-", "", "  ", "missing", "not available", "Not  Available", "not_available", "(unknown)", "anonymous"),
]
SOMEBODY = [
    *("1", "001", "12.0", "9", "99", "10", "1000", "-12", "IP_0000001", "IL_9999999", "HAM_0000000", "P0", "Nathan"),
    *("UNK-17", "0a1f", "patient 0x", "1-1", "9990", "0.5", "NA12878"),
]


@pytest.mark.parametrize("value", [*NOBODY, None, float("nan"), 0, -1, 0.0, 999])
def test_a_value_of_this_form_is_nobody(value: object) -> None:
    assert is_placeholder(value)
    assert not isinstance(id_of({"patient_id": value}, "patient_id", {}), str)


@pytest.mark.parametrize("value", SOMEBODY)
def test_a_value_of_another_form_is_an_id_and_stays_as_it_came(value: str) -> None:
    assert not is_placeholder(value)
    assert id_of({"lesion_id": value}, "lesion_id", {}) == value


@given(
    st.sampled_from(NOBODY + SOMEBODY), st.sampled_from([str.upper, str.lower, str.title]), st.text(" \t", max_size=3)
)
def test_case_and_blanks_do_not_matter(value: str, case: Callable[[str], str], blanks: str) -> None:
    assert is_placeholder(f"{blanks}{case(value)}{blanks}") == is_placeholder(value)


def people(n: int, **cells: str) -> list[dict[str, str]]:
    """So many images of different people: sexes in turn, ages from 20 to 80."""
    return [
        row(number, sex=("male", "female")[number % 2], age_approx=str(20 + 5 * (number % 13)), **cells)
        for number in range(n)
    ]


@contextmanager
def served(folder: Path, rows: Sequence[dict[str, str]]) -> Iterator[str]:
    with running_mirror(write_folder(folder, rows)) as url:
        yield url


def taken_in(url: str, place: Path, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    store = LocalStore(place / "store")
    snapshot = ingest(ArchiveSource(url=url, **options), store)
    return tuple(read(store, snapshot, place / "cache") for read in (read_images, read_issues))  # type: ignore[return-value]


@pytest.mark.parametrize("listing", ["bulk", "pages"])
@pytest.mark.parametrize("value", ["0", "NA", "-1", "unknown"])
def test_half_the_rows_with_a_placeholder_make_as_many_groups_as_without_ids(
    listing: str, value: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row(number, patient_id=f"IP_{number // 2:07d}") for number in range(2, 14)]
    with_placeholder = [{**each, "patient_id": value} if n % 2 else each for n, each in enumerate(rows)]
    without = [{**each, "patient_id": ""} if n % 2 else each for n, each in enumerate(rows)]
    with served(tmp_path / "without", without) as url:
        bare, none = taken_in(url, tmp_path / "a", listing=listing)
    with served(tmp_path / "with", with_placeholder) as url, caplog.at_level(logging.WARNING):
        images, issues = taken_in(url, tmp_path / "b", listing=listing)
    assert none.empty
    assert images["patient_id"].isna().sum() == 6
    assert group_images(images).nunique() == group_images(bare).nunique() == 12
    assert list(issues["isic_id"]) == [each["isic_id"] for each in rows[1::2]]
    assert {tuple(each) for each in issues.drop(columns="isic_id").itertuples(index=False)} == {
        ("metadata", "set to unknown", "patient_id", value, "is a placeholder, not an id")
    }
    assert f"patient_id '{value}' is a placeholder, not an id; in 6 of 12 listed images" in caplog.text


def test_ids_that_come_as_numbers_are_text(faulty: FaultyServer, tmp_path: Path) -> None:
    """An archive's JSON has any type: 0 and -1 are placeholders there, too, and 7 is a patient."""
    ids: list[object] = [0, -1, 7, 7, "7", "007", None]
    rows = [listed(n, f"{faulty.host}/{n}.jpg", patient_id=value) for n, value in enumerate(ids)]
    faulty.answers = {SEARCH: [send(page(rows, len(rows)))]} | {f"/{n}.jpg": [send(jpeg(n))] for n in range(len(ids))}
    images, issues = taken_in(faulty.url, tmp_path)
    assert [None if pd.isna(value) else value for value in images["patient_id"]] == [
        None,
        None,
        "7",
        "7",
        "7",
        "007",
        None,
    ]
    assert list(issues["value"]) == ["0", "-1"]


def test_an_id_that_too_many_have_is_none(tmp_path: Path) -> None:
    rows = people(2 * FEWEST_CROWD + 4)
    for each in rows[::2]:
        each["patient_id"] = "Clinic A"
    with served(tmp_path / "archive", rows) as url:
        images, issues = taken_in(url, tmp_path)
    assert images["patient_id"].isna().all()
    assert len(issues) == FEWEST_CROWD + 2
    (reason,) = set(issues["reason"])
    assert reason == "stands for no one patient: 52 of 104 images (50%) have it, of ages from 20 to 80 years"


def test_a_sample_is_not_drawn_as_one_group(tmp_path: Path) -> None:
    rows = [{**each, "lesion_id": "0", **(VASCULAR if n % 2 else {})} for n, each in enumerate(people(40))]
    with served(tmp_path / "archive", rows) as url:
        images, _ = taken_in(url, tmp_path, limit=8)
    assert len(images) == 8


def crowds_of(rows: Sequence[dict[str, str]], place: Path) -> dict[str, dict[str, str]]:
    with Catalogue(place / "catalogue.sqlite") as catalogue:
        catalogue.add(CatalogueRow(Statement(each["isic_id"], "CC-0", "", dict(each)), None) for each in rows)
        return find_crowds(catalogue)


def crowd(n: int, n_others: int = 0, **cells: str) -> list[dict[str, str]]:
    """So many images under one id, with what ``cells`` say instead, and others without an id."""
    rows = people(n + n_others)
    return [{**each, "patient_id": "P", **cells} if number < n else each for number, each in enumerate(rows)]


@pytest.mark.parametrize(
    "rows",
    [
        crowd(20),  # a folder of one patient
        crowd(FEWEST_CROWD),
        crowd(60, 1400),  # less than one image in twenty
        crowd(300, sex="female", age_approx="45"),  # one patient who is followed up
        crowd(60, 10, sex="male", age_approx=""),
        [{**each, "age_approx": str(40 + n % MOST_YEARS)} for n, each in enumerate(crowd(90, sex="male"))],
        [{**each, "sex": "female" if n else "male"} for n, each in enumerate(crowd(90, age_approx="50"))],  # mistyped
        [{**each, "age_approx": "5" if n < 2 else "60"} for n, each in enumerate(crowd(90, sex="male"))],
    ],
)
def test_what_may_be_one_patient_stays_one(rows: list[dict[str, str]], tmp_path: Path) -> None:
    assert crowds_of(rows, tmp_path) == {}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (crowd(51, age_approx="50"), "of both sexes"),
        (crowd(51, sex="male"), "of ages from 20 to 80 years"),
        (crowd(51, sex="", age_approx=""), "and sex and age of most of them are unknown"),
        (crowd(100, 1000), "100 of 1,100 images (9%) have it"),
    ],
)
def test_what_cannot_be_one_patient_is_a_crowd(rows: list[dict[str, str]], words: str, tmp_path: Path) -> None:
    (reason,) = crowds_of(rows, tmp_path)["patient_id"].values()
    assert words in reason
    lesions = [{**each, "lesion_id": each.get("patient_id", "")} for each in rows]
    assert list(crowds_of(lesions, tmp_path / "lesions")) == ["patient_id", "lesion_id"]


def test_no_lesion_of_the_real_set_is_a_crowd(isic_folder: Path, tmp_path: Path) -> None:
    from lesion_core.isic.mirror.folder import read_folder

    rows = [dict(entry.row) for entry in read_folder(isic_folder / "archive").entries]
    assert crowds_of(rows, tmp_path) == {}
    assert not any(is_placeholder(each["lesion_id"]) for each in rows if "lesion_id" in each)
    half = [{**each, "patient_id": "P"} if n % 2 else each for n, each in enumerate(rows)]
    assert list(crowds_of(half, tmp_path / "half")) == ["patient_id"]
