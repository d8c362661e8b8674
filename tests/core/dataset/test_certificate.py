"""The certificate is counted from the tables, and a dataset that was changed is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table, write_manifest, write_table
from lesion_core.dataset.proof.certificate import (
    CERTIFICATE_NAME,
    DUPLICATES_NAME,
    DUPLICATES_SCHEMA,
    read_certificate,
    verify_certificate,
)
from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import LeakageError, ManifestError


@pytest.fixture
def copy(dataset: OpenDataset, tmp_path: Path) -> OpenDataset:
    """A dataset that a test may spoil."""
    folder = tmp_path / "copy"
    shutil.copytree(dataset.folder, folder)
    return replace(dataset, folder=folder, rows=dataset.rows.copy())


def edit_manifest(dataset: OpenDataset, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = dataset.folder / MANIFEST_NAME
    write_manifest(change(read_table(path, MANIFEST_SCHEMA)), path)


def one_of(dataset: OpenDataset, split: str) -> str:
    return str(dataset.split(split)["isic_id"].iloc[0])


def test_an_honest_dataset_is_certified(dataset: OpenDataset) -> None:
    certificate = verify_certificate(dataset)
    assert certificate.n_images == len(dataset.rows) == dataset.ref.n_images
    assert certificate.n_groups == dataset.ref.n_groups == len(dataset.rows) - 4
    assert certificate.merged == {"patient_id": 1, "lesion_id": 1, "sha256": 1, "near_duplicate": 1}
    assert certificate.near_duplicates_across_lesions == 1
    assert set(certificate.overlaps.values()) == {0}
    assert len(certificate.overlaps) == 6
    assert certificate.absent_classes == ("BCC", "AK", "BKL", "DF", "VASC", "SCC")
    assert sum(sum(part.values()) for part in certificate.images.values()) == len(dataset.rows)
    assert certificate.images["test"]["MEL"] > 0
    assert certificate.n_quarantined == 0


@pytest.mark.parametrize("kind", ["patient_id", "lesion_id", "sha256"])
def test_shared_evidence_across_splits_is_refused_by_name(copy: OpenDataset, kind: str) -> None:
    value = "f" * 64 if kind == "sha256" else "PLANTED"
    both = [one_of(copy, "train"), one_of(copy, "test")]
    edit_manifest(copy, lambda rows: rows.assign(**{kind: rows[kind].mask(rows["isic_id"].isin(both), value)}))
    with pytest.raises(LeakageError, match=f"{kind} {value} in test and train"):
        verify_certificate(copy)


def test_half_a_group_in_another_split_is_refused_by_name(copy: OpenDataset) -> None:
    lesion = read_table(copy.folder / MANIFEST_NAME, MANIFEST_SCHEMA).query("lesion_id == 'IL_1'")["isic_id"]
    now = copy.rows.set_index("isic_id").loc[lesion.iloc[0], "split"]
    copy.rows.loc[copy.rows["isic_id"] == lesion.iloc[0], "split"] = "test" if now != "test" else "train"
    with pytest.raises(LeakageError, match=r"group ISIC_0000030 in .* lesion_id IL_1 in"):
        verify_certificate(copy)


def test_one_image_in_two_splits_is_refused_by_name(copy: OpenDataset) -> None:
    row = copy.split("train").head(1)
    twice = replace(copy, rows=pd.concat([copy.rows, row.assign(split="test")], ignore_index=True))
    with pytest.raises(LeakageError, match=f"isic_id {row['isic_id'].iloc[0]} in test and train"):
        verify_certificate(twice)


def test_a_near_duplicate_pair_across_splits_is_refused_by_name(copy: OpenDataset) -> None:
    path = copy.folder / DUPLICATES_NAME
    pairs = read_table(path, DUPLICATES_SCHEMA)
    first, second = one_of(copy, "calibration"), one_of(copy, "test")
    pairs.loc[len(pairs)] = [first, second, 0.99, 0.99, 0.9]
    write_table(pairs, DUPLICATES_SCHEMA, path)
    with pytest.raises(LeakageError, match=f"near_duplicate {first} ~ {second} in calibration and test"):
        verify_certificate(copy)


def test_pairs_that_were_removed_are_noticed(copy: OpenDataset) -> None:
    path = copy.folder / DUPLICATES_NAME
    write_table(read_table(path, DUPLICATES_SCHEMA).head(0), DUPLICATES_SCHEMA, path)
    with pytest.raises(ManifestError, match="tables"):
        verify_certificate(copy)


def test_a_whole_group_that_changed_sides_is_noticed(copy: OpenDataset) -> None:
    group = copy.split("test")["group"].iloc[0]
    copy.rows.loc[copy.rows["group"] == group, "split"] = "train"
    with pytest.raises(ManifestError, match="images"):
        verify_certificate(copy)


def test_a_lost_image_and_a_changed_class_are_noticed(copy: OpenDataset) -> None:
    with pytest.raises(ManifestError, match="the same images"):
        verify_certificate(replace(copy, rows=copy.rows.iloc[1:]))
    changed = copy.rows.assign(class_index=np.int8(7))
    with pytest.raises(ManifestError, match="the same group and class"):
        verify_certificate(replace(copy, rows=changed))


def test_two_images_at_one_place_are_noticed(copy: OpenDataset) -> None:
    with pytest.raises(ManifestError, match="its own place"):
        verify_certificate(replace(copy, rows=copy.rows.assign(row=np.int32(0))))
    with pytest.raises(ManifestError, match="which has 38"):
        verify_certificate(replace(copy, rows=copy.rows.assign(row=copy.rows["row"] + 5)))


def test_an_embellished_certificate_is_refused(copy: OpenDataset) -> None:
    path = copy.folder / CERTIFICATE_NAME
    content = json.loads(path.read_text(encoding="utf-8"))
    content["images"]["test"]["MEL"] += 100
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ManifestError, match="images differ"):
        verify_certificate(copy)


def test_a_missing_certificate_is_refused(copy: OpenDataset) -> None:
    (copy.folder / CERTIFICATE_NAME).unlink()
    with pytest.raises(ManifestError, match="expected a certificate"):
        read_certificate(copy.folder)
