"""A folder of labelled images as an external test set: what its labels mean, and what is left out by name."""

import csv
import io
from pathlib import Path

import pytest

from lesion_core.errors import ConfigError, ManifestError
from lesion_core.isic.external.labels import ExternalSet, ExternalTest, check_pools, parse_labels
from lesion_core.isic.external.snapshot import bring_folder
from lesion_core.isic.snapshot import read_images
from lesion_core.labels import Diagnosis
from lesion_core.refs import SnapshotRef
from lesion_core.stores.folders import read_file
from lesion_core.stores.local import LocalStore
from tests.core.isic.folders import MELANOMA, NEVUS, isic_id, jpeg, row, write_folder, write_table

AK, SCC, VASC = Diagnosis.AK, Diagnosis.SCC, Diagnosis.VASC
TRUTH = "ISIC2018_Task3_Test_GroundTruth.csv"


def write_challenge(folder: Path, labels: dict[int, str], columns: tuple[str, ...]) -> None:
    """Write a challenge's ground truth and images, without metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    images = folder / TRUTH.replace("_GroundTruth.csv", "_Input")
    images.mkdir(exist_ok=True)
    with (folder / TRUTH).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", *columns, "score_weight"))
        for number, label in labels.items():
            writer.writerow((isic_id(number), *(f"{float(name == label)}" for name in columns), "0.5"))
            (images / f"{isic_id(number)}.jpg").write_bytes(jpeg(number))


def read_set(store: LocalStore, snapshot: SnapshotRef) -> tuple[ExternalSet, dict[str, tuple[str, str]]]:
    stated = ExternalSet.model_validate_json(read_file(store, snapshot, "external.json"))
    rows = csv.DictReader(io.StringIO(read_file(store, snapshot, "left_out.csv").decode()))
    return stated, {one["isic_id"]: (one["reason"], one["detail"]) for one in rows}


def test_labels_are_classes_alternatives_or_none() -> None:
    lines = ["# HAM10000", "", "AKIEC = SCC|AK", "angioma=VASC", "a=b=MEL", "UNK=none"]
    found = parse_labels(lines)
    assert found == {"AKIEC": (AK, SCC), "angioma": (VASC,), "a=b": (Diagnosis.MEL,), "UNK": ()}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["AKIEC"], r"expected label=CLASS.*got 'AKIEC'"),
        (["=AK"], r"got '=AK'"),
        (["AKIEC=AK|BOWEN"], r"expected classes of MEL, .*got 'BOWEN'"),
        (["AKIEC=AK", "AKIEC=SCC"], r"one meaning of the label 'AKIEC', got AK and 'AKIEC=SCC'"),
    ],
)
def test_what_is_not_understood_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_labels(lines)


def test_classes_that_overlap_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'AKIEC' = AK or SCC and 'SCC' = SCC; map both .*'SCC=none'"):
        check_pools({"AKIEC": (AK, SCC), "MEL": (Diagnosis.MEL,), "SCC": (SCC,)})
    check_pools({"AKIEC": (AK, SCC), "Bowen": (AK, SCC), "MEL": (Diagnosis.MEL,)})


def test_a_challenge_with_other_columns_and_without_metadata(tmp_path: Path) -> None:
    write_challenge(tmp_path / "set", {1: "MEL", 2: "AKIEC", 3: "AKIEC", 4: "UNK"}, ("MEL", "NV", "AKIEC", "UNK"))
    store = LocalStore(tmp_path / "store")
    test = ExternalTest(name="ham", folder=str(tmp_path / "set"), labels=("AKIEC=AK|SCC",))
    snapshot = bring_folder(test, store)
    stated, left_out = read_set(store, snapshot)
    assert [(one.in_words(), one.n_images) for one in stated.labels] == [("AKIEC = AK or SCC", 2), ("MEL = MEL", 1)]
    assert stated.pools == ((AK, SCC),)
    assert left_out == {isic_id(4): ("label without a class", "UNK")}
    assert stated.left_out == {"label without a class": 1}
    images = read_images(store, snapshot, tmp_path / "cache")
    assert dict(zip(images["isic_id"], images["diagnosis"], strict=True)) == {
        isic_id(1): "MEL",
        isic_id(2): "AK",
        isic_id(3): "AK",
    }
    assert store.read(images["image_key"].iloc[0]) == jpeg(1)
    assert snapshot.licence == "CC-BY-NC"  # as challenges are handed out
    assert snapshot.name == "external-ham"
    assert bring_folder(test, store) == snapshot


def test_the_archives_own_layout_and_a_file_of_labels(tmp_path: Path) -> None:
    rows = [
        row(1),
        row(2, **MELANOMA, lesion_id="IL_0000009", age_approx="45"),
        row(3, diagnosis_1="", diagnosis_2="", diagnosis_3="", diagnosis="lentigo NOS"),
        row(4, copyright_license="all rights reserved"),
        row(5, image_type="clinical: close-up"),
        row(6),
        row(7),
        row(8, diagnosis_3="Nevus of the moon"),
    ]
    folder = write_folder(tmp_path / "set", rows, without=[isic_id(6)])
    (folder / f"{isic_id(7)}.jpg").write_bytes(b"no image at all")
    labels = tmp_path / "labels.txt"
    labels.write_text("lentigo NOS=BKL\n")
    store = LocalStore(tmp_path / "store")
    test = ExternalTest(name="clinic", folder=str(folder), labels_file=str(labels))
    stated, left_out = read_set(store, bring_folder(test, store))
    assert [(one.label, one.classes, one.n_images) for one in stated.labels] == [
        (MELANOMA["diagnosis_3"], (Diagnosis.MEL,), 1),
        (NEVUS["diagnosis_3"], (Diagnosis.NV,), 1),
        ("lentigo NOS", (Diagnosis.BKL,), 1),
    ]
    assert {name: reason for name, (reason, _) in left_out.items()} == {
        isic_id(4): "licence not known or not allowed",
        isic_id(5): "not dermoscopic",
        isic_id(6): "no file",
        isic_id(7): "no usable image",
        isic_id(8): "label without a class",
    }
    assert left_out[isic_id(8)][1] == "Nevus of the moon"
    assert sum(stated.left_out.values()) + sum(one.n_images for one in stated.labels) == stated.n_listed == 8
    images = read_images(store, bring_folder(test, store), tmp_path / "cache").set_index("isic_id")
    assert images.loc[isic_id(2), ["lesion_id", "age_years"]].tolist() == ["IL_0000009", 45.0]


def test_a_licence_can_be_stated_for_all(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", [row(1)])
    write_table(folder, [{name: text for name, text in row(1).items() if name != "copyright_license"}])
    store = LocalStore(tmp_path / "store")
    with pytest.raises(ManifestError, match=r"none of 1: 1 × licence not known or not allowed \(not stated\)"):
        bring_folder(ExternalTest(name="own", folder=str(folder)), store)
    assert bring_folder(ExternalTest(name="own", folder=str(folder), licence="CC-BY"), store).licence == "CC-BY"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image,MEL,NV\nISIC_0000001,1,1\n", r"a 1 in one column of row 2 .*got MEL and NV"),
        ("image,MEL,NV\nISIC_0000001,0.7,0.3\n", r"expected 0 or 1 under MEL .*got '0.7'"),
        ("image,MEL\nmole-1,1\n", r"expected ids such as ISIC_0024306"),
    ],
)
def test_a_broken_ground_truth_names_row_and_column(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / TRUTH).write_text(table)
    with pytest.raises(ManifestError, match=message):
        bring_folder(ExternalTest(name="x", folder=str(tmp_path)), LocalStore(tmp_path / "store"))


def test_a_folder_without_a_table_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"expected metadata.csv, or one table NAME_GroundTruth.csv, .*neither"):
        bring_folder(ExternalTest(name="x", folder=str(tmp_path)), LocalStore(tmp_path / "store"))
    with pytest.raises(ConfigError, match=r"a line 'label=CLASS' for each label"):
        bring_folder(
            ExternalTest(name="x", folder=str(tmp_path), labels_file=str(tmp_path / "none.txt")),
            LocalStore(tmp_path / "store"),
        )
