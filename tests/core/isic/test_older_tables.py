"""Tables of older downloaders, and what is no dermoscopic image: read, or left out with the reason."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from lesion_core.errors import ManifestError
from lesion_core.isic.ingest.assembly import assemble, report_arrivals
from lesion_core.isic.ingest.fetch import fetch_shard
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.listing import list_archive
from lesion_core.isic.mirror.columns import names_of_today
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.snapshot import read_images, read_issues
from lesion_core.isic.source import IMAGE_TYPES, ArchiveSource
from lesion_core.stores.local import LocalStore
from tests.core.isic.folders import isic_id, row, write_folder

# As isic-cli wrote it in 2023, and as the first API's JSON was flattened (here by their own columns).
CLI_2023 = (
    *("isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general", "benign_malignant"),
    *("diagnosis", "diagnosis_confirm_type", "image_type", "lesion_id", "melanocytic", "patient_id", "sex"),
)
FIRST_API = {
    "isic_id": "name",
    "copyright_license": "dataset.license",
    "image_type": "meta.acquisition.image_type",
    **{
        name: f"meta.clinical.{name}"
        for name in ("age_approx", "anatom_site_general", "benign_malignant", "diagnosis")
    },
    **{name: f"meta.clinical.{name}" for name in ("diagnosis_confirm_type", "melanocytic", "sex")},
}


def former(number: int, **cells: str) -> dict[str, str]:
    """A row of 2023: a nevus, with ``cells`` changed."""
    usual = {
        "isic_id": isic_id(number),
        "attribution": "Clinic A",
        "copyright_license": "CC-0",
        "age_approx": "45",
        "anatom_site_general": "posterior torso",
        "benign_malignant": "benign",
        "diagnosis": "nevus",
        "diagnosis_confirm_type": "histopathology",
        "image_type": "dermoscopic",
        "melanocytic": "True",
        "sex": "female",
    }
    return {**usual, **cells}


def taken_in(
    rows: Sequence[Mapping[str, str]], place: Path, renamed: Mapping[str, str] | None = None, **options: Any
) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    """Take a folder with these rows in; return its images by id, and the issues."""
    folder = write_folder(place / "archive", rows)
    table = folder / "metadata.csv"
    if renamed is not None:
        with table.open(newline="") as file:
            lines = list(csv.reader(file))
        lines[0] = [renamed.get(name, name) for name in lines[0]]
        with table.open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    store = LocalStore(place / "store")
    with running_mirror(folder) as url:
        snapshot = ingest(ArchiveSource(url=url, **options), store)
    issues = read_issues(store, snapshot, place / "cache")
    listed = issues[["isic_id", "stage", "outcome", "field", "value"]].itertuples(index=False, name=None)
    return read_images(store, snapshot, place / "cache").set_index("isic_id"), list(listed)


@pytest.mark.parametrize("listing", ["bulk", "pages"])
@pytest.mark.parametrize("renamed", [None, FIRST_API])
def test_an_older_table_is_read(listing: str, renamed: Mapping[str, str] | None, tmp_path: Path) -> None:
    rows = [
        former(1),
        former(2, diagnosis="melanoma", benign_malignant="malignant", anatom_site_general="palms/soles"),
        former(3, diagnosis="lentigo NOS"),
        former(4, diagnosis="", benign_malignant="indeterminate"),
        former(5, diagnosis="lichenoid keratosis", sex="", age_approx="", anatom_site_general="torso"),
        former(6, image_type="clinical"),
    ]
    images, issues = taken_in(rows, tmp_path, renamed, listing=listing)
    assert images["diagnosis"].to_dict() == {isic_id(1): "NV", isic_id(2): "MEL", isic_id(5): "BKL"}
    assert images["age_years"].fillna(-1).to_list() == [45.0, 45.0, -1.0]
    assert images["site"].fillna("").to_list() == ["posterior torso", "palms/soles", ""]
    assert images["sex"].fillna("").to_list() == ["female", "female", ""]
    assert set(images["licence"]) == {"CC-0"}
    assert set(images["confirm_type"]) == {"histopathology"}
    assert issues == [
        (isic_id(3), "label", "excluded", "diagnosis", "lentigo NOS"),
        (isic_id(4), "label", "excluded", "benign_malignant", "indeterminate"),
        (isic_id(5), "metadata", "set to unknown", "anatom_site_general", "torso"),
        (isic_id(6), "metadata", "excluded", "image_type", "clinical"),
    ]


def test_a_table_without_any_class_names_its_column_and_what_is_needed(tmp_path: Path) -> None:
    rows = [former(number, diagnosis="") for number in range(3)]
    with pytest.raises(ManifestError) as caught:
        taken_in(rows, tmp_path)
    for words in ("3 × benign_malignant 'benign'", "diagnosis_1 to diagnosis_5", "current isic-cli"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("header", "today"),
    [
        (CLI_2023, CLI_2023),
        (("image_name", "anatom_site_general_challenge"), ("isic_id", "anatom_site_general")),
        (("name", "meta.acquisition.pixelsX", "meta.clinical.sex"), ("isic_id", "pixels_x", "sex")),
        (("isic_id", "metadata.clinical.age_approx", "name"), ("isic_id", "age_approx", "name")),
        (("meta.unstructured.diagnosis", "dataset.name"), ("meta.unstructured.diagnosis", "dataset.name")),
        (("isic_id", "copyright_license", "dataset.license"), ("isic_id", "copyright_license", "dataset.license")),
    ],
)
def test_columns_have_todays_names(header: Sequence[str], today: Sequence[str]) -> None:
    assert names_of_today(header) == tuple(today)


def test_one_fact_in_two_columns_is_refused(tmp_path: Path) -> None:
    rows = [{**former(1), "meta.clinical.sex": "male"}]
    with pytest.raises(ManifestError, match=r"each column once in .*, got sex again"):
        taken_in(rows, tmp_path)


KINDS = [row(number, image_type="" if kind == "not stated" else kind) for number, kind in enumerate(IMAGE_TYPES)]


@pytest.mark.parametrize("listing", ["bulk", "pages"])
def test_only_dermoscopic_images_come_in_by_default(listing: str, tmp_path: Path) -> None:
    images, issues = taken_in(KINDS, tmp_path, listing=listing)
    assert [IMAGE_TYPES[int(name[-1])] for name in images.index] == ["dermoscopic", "not stated"]
    assert [(isic_id(n), "metadata", "excluded", "image_type", kind) for n, kind in enumerate(IMAGE_TYPES)][
        1:-1
    ] == issues


def test_a_source_says_which_kinds_it_takes(tmp_path: Path) -> None:
    images, issues = taken_in(KINDS, tmp_path, image_types=("clinical: close-up", "RCM: tile"))
    assert [IMAGE_TYPES[int(name[-1])] for name in images.index] == ["clinical: close-up", "RCM: tile"]
    assert len(issues) == len(IMAGE_TYPES) - 2


def test_other_kinds_give_another_snapshot(tmp_path: Path) -> None:
    with running_mirror(write_folder(tmp_path / "archive", [row(1), row(2)])) as url:
        store = LocalStore(tmp_path / "store")
        one, other = (
            ingest(ArchiveSource(url=url, image_types=kinds), store)
            for kinds in (("dermoscopic", "not stated"), ("dermoscopic",))
        )
    assert one.id != other.id
    assert one.n_images == other.n_images == 2


def test_a_form_offers_the_archives_words() -> None:
    field = ArchiveSource.model_json_schema()["properties"]["image_types"]
    assert field["default"] == ["dermoscopic", "not stated"]
    assert field["items"]["enum"] == list(IMAGE_TYPES)
    assert "dermoscopic" in field["description"]
    positions = [each["position"] for each in ArchiveSource.model_json_schema()["properties"].values()]
    assert sorted(positions) == list(range(len(positions)))
    with pytest.raises(ValidationError, match="image_types"):
        ArchiveSource.model_validate({"image_types": ["dermoscopy"]})
    with pytest.raises(ValidationError, match="image_types"):
        ArchiveSource.model_validate({"image_types": []})


def test_the_report_of_an_ingestion_counts_what_is_frequent(tmp_path: Path) -> None:
    rows = [*KINDS, *(row(number, patient_id="0", image_type="dermoscopic") for number in range(20, 24))]
    with running_mirror(write_folder(tmp_path / "archive", rows)) as url:
        source, store = ArchiveSource(url=url), LocalStore(tmp_path / "store")
        listing = list_archive(source, store)
        shards = [fetch_shard(source, listing, 0, store)]
        assemble(source, listing, shards, store)
        report = report_arrivals(listing, shards, store)
    assert report.frequent == {"patient_id '0' is a placeholder, not an id": 4}
    assert "Most frequent: 4 × patient_id '0' is a placeholder, not an id" in report.in_words()
