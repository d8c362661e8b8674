"""A challenge's set as a source of its own: its two tables, its file names, its way into a snapshot."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from lesion_core.errors import ManifestError
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.mirror.challenge import find_challenge
from lesion_core.isic.mirror.folder import ArchiveFolder, is_archive_folder, read_folder
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.snapshot import read_images, read_issues
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.taxonomy import age_of, classify, sex_of, site_of
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.stores.local import LocalStore
from lesion_core.types import LICENCE_ORDER
from tests.core.isic.folders import jpeg

SET = "ISIC_2019_Training"
TRUTH, METADATA = f"{SET}_GroundTruth.csv", f"{SET}_Metadata.csv"
COLUMNS = ("image", *CLASS_ORDER, "UNK")
FACTS = ("image", "age_approx", "anatom_site_general", "lesion_id", "sex")
LABELS = {"ISIC_0000001": "NV", "ISIC_0000002_downsampled": "MEL", "ISIC_0000003": "UNK", "ISIC_0000004": "SCC"}
TRUTH_ROWS = [
    {"image": name, **{each: f"{float(each == label)}" for each in COLUMNS[1:]}} for name, label in LABELS.items()
]
FACT_ROWS = [
    {"image": "ISIC_0000001", "age_approx": "55", "anatom_site_general": "anterior torso", "sex": "female"},
    {"image": "ISIC_0000002_downsampled", "age_approx": "40.0", "lesion_id": "HAM_0000002", "sex": "male"},
    {"image": "ISIC_0000003", "lesion_id": "BCN_0000003"},
    {"image": "ISIC_0000004", "lesion_id": "MSK4_0000004", "anatom_site_general": "head/neck"},
]


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]], encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_tables(folder: Path, encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / TRUTH, COLUMNS, TRUTH_ROWS, encoding)
    write_csv(folder / METADATA, FACTS, FACT_ROWS, encoding)
    return folder


def rows_of(folder: ArchiveFolder) -> dict[str, dict[str, str]]:
    return {entry.isic_id: dict(entry.row) for entry in folder.entries}


def test_a_row_has_the_class_the_facts_and_the_credit_that_are_known(tmp_path: Path) -> None:
    rows = rows_of(read_folder(write_tables(tmp_path)))
    assert list(rows) == ["ISIC_0000001", "ISIC_0000002", "ISIC_0000003", "ISIC_0000004"]
    assert [classify(row) for row in rows.values()][:2] == [Diagnosis.NV, Diagnosis.MEL]
    assert classify(rows["ISIC_0000003"]) not in CLASS_ORDER  # UNK: reported, never guessed
    assert [age_of(row) for row in rows.values()] == [55.0, 40.0, None, None]
    assert [sex_of(row) for row in rows.values()] == ["female", "male", None, None]
    assert [site_of(row) for row in rows.values()] == ["anterior torso", None, None, "head/neck"]
    assert "lesion_id" not in rows["ISIC_0000001"]  # absent, not empty
    assert not any(name.startswith("diagnosis") for row in rows.values() for name in row)  # no invented pathology
    assert {row["copyright_license"] for row in rows.values()} == {LICENCE_ORDER[-1]}
    credits = [row["attribution"] for row in rows.values()]
    assert all(name in credits[0] for name in ("HAM10000", "BCN_20000", "MSK"))  # whichever it is
    assert [credit.partition(":")[0] for credit in credits[1:]] == ["HAM10000", "BCN_20000", "MSK"]


def test_a_set_of_another_name_is_not_credited_to_the_three_sources(tmp_path: Path) -> None:
    write_tables(tmp_path)
    for name in (TRUTH, METADATA):
        (tmp_path / name).rename(tmp_path / name.replace(SET, "Ward_7"))
    assert {row["attribution"] for row in rows_of(read_folder(tmp_path)).values()} == {"Ward_7, source not stated"}


@pytest.mark.parametrize("subfolder", ["", f"{SET}_Input"])
@pytest.mark.parametrize("ending", ["", "_downsampled"])
def test_images_are_found_flat_or_unpacked_under_either_name(tmp_path: Path, subfolder: str, ending: str) -> None:
    place = write_tables(tmp_path) / subfolder
    place.mkdir(exist_ok=True)
    (place / f"ISIC_0000002{ending}.jpg").write_bytes(jpeg(2))
    folder = read_folder(tmp_path)
    entry = folder.by_id()["ISIC_0000002"]
    assert folder.path == place
    assert entry.file_name == f"ISIC_0000002{ending}.jpg"
    assert entry.metadata(folder.path)["acquisition"] == {"pixels_x": 40, "pixels_y": 30}


def test_the_archives_own_table_goes_before(tmp_path: Path) -> None:
    write_tables(tmp_path)
    (tmp_path / "metadata.csv").write_text("isic_id,sex\nISIC_0000009,male\n")
    assert list(rows_of(read_folder(tmp_path))) == ["ISIC_0000009"]


def test_a_byte_order_mark_and_plain_digits_are_read(tmp_path: Path) -> None:
    write_tables(tmp_path, encoding="utf-8-sig")
    truth = (tmp_path / TRUTH).read_text(encoding="utf-8")
    (tmp_path / TRUTH).write_text(truth.replace("1.0", "1").replace("0.0", "0"), encoding="utf-8")
    assert classify(rows_of(read_folder(tmp_path))["ISIC_0000002"]) is Diagnosis.MEL


def test_columns_of_other_sets_are_let_pass(tmp_path: Path) -> None:
    """The test set's table has weights of the scoring beside the classes."""
    write_tables(tmp_path)
    write_csv(tmp_path / TRUTH, (*COLUMNS, "score_weight"), [{**row, "score_weight": "0.5"} for row in TRUTH_ROWS])
    assert len(read_folder(tmp_path).entries) == len(LABELS)


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def copy(name: str, other: str) -> Callable[[Path], None]:
    return lambda folder: (folder / other).write_bytes((folder / name).read_bytes())


FIRST = "ISIC_0000001,0.0,1.0,0.0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove(METADATA), f"one pair of tables .* got {TRUTH}"),
        (remove(TRUTH), f"one pair of tables .* got {METADATA}"),
        (copy(TRUTH, "Other_GroundTruth.csv"), "one pair of tables"),
        (replace(TRUTH, "MEL,NV", "MEL,NEV"), f"a column NV in .*{TRUTH}"),
        (replace(METADATA, "lesion_id,", "lesion,"), f"a column lesion_id in .*{METADATA}.*stays, with empty cells"),
        (replace(TRUTH, ",", ";"), "got semicolons"),
        (replace(METADATA, ",", "\t"), "got tabs"),
        (replace(TRUTH, "BCC,AK", "BCC,BCC,AK"), "each column once"),
        (replace(TRUTH, "ISIC_0000004", "ISIC_0000001"), "ISIC_0000001 again"),
        (replace(TRUTH, "ISIC_0000004", "ISIC_0000002"), "ISIC_0000002 again"),  # with and without the ending
        (replace(TRUTH, "ISIC_0000004", "lesion 4"), "got lesion 4"),
        (replace(METADATA, "ISIC_0000004", "ISIC_0000005"), f"{METADATA} lacks ISIC_0000004"),
        (replace(METADATA, "ISIC_0000004,,head/neck,MSK4_0000004,", ",,,,"), f"{METADATA} lacks ISIC_0000004"),
        (replace(TRUTH, FIRST, "ISIC_0000001,0.0,0.0,0.0"), r"row 2 of .*\(ISIC_0000001\), got none"),
        (replace(TRUTH, FIRST, "ISIC_0000001,0.0,1.0,1.0"), r"row 2 of .*\(ISIC_0000001\), got NV and BCC"),
        (replace(TRUTH, FIRST, "ISIC_0000001,0.1,0.9,0.0"), "got '0.1'"),
        (replace(TRUTH, FIRST, "ISIC_0000001,no,1.0,0.0"), r"0 or 1 under MEL in row 2 .*got 'no'"),
        (replace(TRUTH, FIRST, "ISIC_0000001,nan,1.0,0.0"), "got 'nan'"),
        (replace(TRUTH, FIRST, "ISIC_0000001,0.0"), "10 cells in row 2"),
        (lambda folder: (folder / TRUTH).write_bytes(b""), "got an empty file"),
        (lambda folder: (folder / TRUTH).write_bytes(b"\xff\xfe\x00"), "comma-separated UTF-8"),
    ],
)
def test_a_table_that_is_none_ends_in_one_clear_error(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    change(write_tables(tmp_path))
    with pytest.raises(ManifestError, match=message):
        read_folder(tmp_path)


def test_a_folder_is_known_by_its_table(tmp_path: Path) -> None:
    assert not is_archive_folder(tmp_path)
    assert find_challenge(tmp_path) is None
    with pytest.raises(ManifestError, match=r"metadata\.csv.*NAME_GroundTruth\.csv and NAME_Metadata\.csv"):
        read_folder(tmp_path)
    assert is_archive_folder(write_tables(tmp_path))


def test_an_age_that_is_no_number_is_reported_with_the_snapshot(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "set")
    replace(METADATA, "55", "about 55")(folder)
    for number in (1, 2, 3, 4):
        (folder / f"ISIC_{number:07d}.jpg").write_bytes(jpeg(number))
    images, issues = ingested(folder, tmp_path)
    assert list(images) == ["ISIC_0000001", "ISIC_0000002", "ISIC_0000004"]
    assert {(issue["isic_id"], issue["field"], issue["value"]) for issue in issues} == {
        ("ISIC_0000001", "age_approx", "about 55"),
        ("ISIC_0000003", "challenge_class", "UNK"),
    }


def ingested(folder: Path, place: Path) -> tuple[dict[str, dict[str, object]], list[dict[str, str]]]:
    """Take a folder in through mirror and client; return its images by id, and the issues."""
    store = LocalStore(place / f"store-{folder.name}")
    with running_mirror(folder) as url:
        snapshot = ingest(ArchiveSource(url=url), store, name="small")
    images = read_images(store, snapshot, place / "cache").replace({float("nan"): None})
    issues = read_issues(store, snapshot, place / "cache").to_dict("records")
    return {row["isic_id"]: row for row in images.to_dict("records")}, issues


def test_every_row_of_the_real_set_is_read(isic_folder: Path) -> None:
    folder = read_folder(isic_folder / "challenge")
    archive = read_folder(isic_folder / "archive").by_id()
    assert len(folder.entries) == 12_760
    for entry in folder.entries:
        same = archive[entry.isic_id].row
        for read in (classify, site_of, age_of, sex_of):
            assert read(entry.row) == read(same), entry.isic_id


def test_real_images_come_in_the_same_by_either_layout(isic_folder: Path, tmp_path: Path) -> None:
    archive, tables = isic_folder / "archive", isic_folder / "challenge"
    truth, facts, metadata = map(read_csv, (tables / TRUTH, tables / METADATA, archive / "metadata.csv"))
    wanted = dict(list(truth.items())[::1100])
    names = {isic_id: row["image"] for isic_id, row in wanted.items()}
    assert len(names) == 12
    assert any(name.endswith("_downsampled") for name in names.values())
    flat, unpacked = tmp_path / "archive", tmp_path / "challenge" / f"{SET}_Input"
    for place in (flat, unpacked):
        place.mkdir(parents=True)
    for isic_id, name in names.items():
        (flat / f"{isic_id}.jpg").symlink_to(archive / f"{isic_id}.jpg")
        (unpacked / f"{name}.jpg").symlink_to(archive / f"{isic_id}.jpg")
    cut(flat / "metadata.csv", metadata, names)
    cut(unpacked.parent / TRUTH, truth, names)
    cut(unpacked.parent / METADATA, facts, names)

    as_archive, _ = ingested(flat, tmp_path)
    as_challenge, issues = ingested(unpacked.parent, tmp_path)
    assert issues == []
    assert list(as_archive) == list(as_challenge) == sorted(names)
    compared = ("sha256", "diagnosis", "site", "age_years", "sex", "width", "height")
    for isic_id, row in as_archive.items():
        assert {name: as_challenge[isic_id][name] for name in compared} == {name: row[name] for name in compared}
    assert {row["licence"] for row in as_challenge.values()} == {"CC-BY-NC"}


def read_csv(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row.get("image") or row["isic_id"]).removesuffix("_downsampled"): row for row in rows}


def cut(path: Path, rows: Mapping[str, Mapping[str, str]], wanted: Mapping[str, str]) -> None:
    """Write the wanted rows of a table."""
    write_csv(path, list(rows[next(iter(wanted))]), [rows[isic_id] for isic_id in wanted])
