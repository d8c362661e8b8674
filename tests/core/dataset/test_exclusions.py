"""What may not be in a dataset: withdrawn images, and licences that the profile does not allow."""

import json
from pathlib import Path

import pytest

from lesion_core.dataset.manifest import read_table, source_of
from lesion_core.dataset.proof.certificate import read_certificate, verify_certificate
from lesion_core.dataset.splitting.split_history import SPLIT_HISTORY_NAME, SPLIT_HISTORY_SCHEMA
from lesion_core.errors import DataError, LicenceRefused, ManifestError
from lesion_core.isic.withdrawals import note_withdrawn
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import simple_images
from tests.core.dataset.test_certificate import edit_manifest
from tests.core.dataset.test_prepare import OPTIONS, Clinic

PERMISSIVE = OPTIONS.model_copy(update={"profile": "permissive"})


@pytest.fixture
def clinic(store: LocalStore, tmp_path: Path) -> Clinic:
    return Clinic(store, tmp_path)


def withdraw(clinic: Clinic, *isic_ids: str) -> None:
    note_withdrawn(clinic.store, isic_ids, archive="https://archive", last_seen="isic/1")


def test_a_withdrawal_gives_another_dataset_of_the_same_snapshot_without_the_image(clinic: Clinic) -> None:
    snapshot = clinic.snapshot(simple_images(range(20)))
    before = clinic.open(clinic.prepare(snapshot))
    withdraw(clinic, "ISIC_0000003", "ISIC_0009999")
    after = clinic.open(clinic.prepare(snapshot))
    assert after.ref != before.ref
    assert set(before.rows["isic_id"]) - set(after.rows["isic_id"]) == {"ISIC_0000003"}
    assert read_certificate(after.folder).withdrawn == ("ISIC_0000003",)
    history = read_table(after.folder / SPLIT_HISTORY_NAME, SPLIT_HISTORY_SCHEMA).set_index("isic_id")
    assert history.loc["ISIC_0000003", "split"] == before.rows.set_index("isic_id").loc["ISIC_0000003", "split"]
    assert clinic.prepare(snapshot) == after.ref


def test_a_withdrawal_of_another_snapshots_image_changes_nothing(clinic: Clinic) -> None:
    snapshot = clinic.snapshot(simple_images(range(20)))
    before = clinic.prepare(snapshot)
    withdraw(clinic, "ISIC_0009999")
    assert clinic.prepare(snapshot) == before


def test_a_snapshot_that_was_withdrawn_altogether_is_said_in_words(clinic: Clinic) -> None:
    snapshot = clinic.snapshot(simple_images(range(6)))
    withdraw(clinic, *(f"ISIC_{number:07d}" for number in range(6)))
    with pytest.raises(DataError, match="the archive withdrew all 6"):
        clinic.prepare(snapshot)


def test_a_permissive_dataset_refuses_non_commercial_images_by_name(clinic: Clinic) -> None:
    images = simple_images(range(20)) + simple_images(range(20, 28), licence="CC-BY-NC")
    snapshot = clinic.snapshot(images)
    with pytest.raises(LicenceRefused, match=r"got 8 others \(ISIC_0000020: CC-BY-NC.*…\); ingest with") as caught:
        clinic.prepare(snapshot, PERMISSIVE)
    assert caught.value.isic_ids == [f"ISIC_{number:07d}" for number in range(20, 28)]
    assert caught.value.profile == "permissive"
    assert not list(clinic.store.list("datasets/"))
    certificate = read_certificate(clinic.open(clinic.prepare(snapshot)).folder)
    assert (certificate.profile, certificate.licences) == ("research-nc", {"CC-0": 20, "CC-BY-NC": 8})


def test_a_permissive_dataset_of_permissive_images_is_made(clinic: Clinic) -> None:
    images = simple_images(range(20)) + simple_images([20], licence="CC-BY")
    ref = clinic.prepare(clinic.snapshot(images), PERMISSIVE)
    assert read_certificate(clinic.open(ref).folder).profile == "permissive"
    assert ref.licence == "CC-BY"


def test_a_withdrawn_image_needs_no_licence(clinic: Clinic) -> None:
    images = simple_images(range(20)) + simple_images([20], licence="CC-BY-NC")
    withdraw(clinic, "ISIC_0000020")
    assert clinic.prepare(clinic.snapshot(images), PERMISSIVE).n_images == 20


def test_a_licence_planted_after_certification_is_refused(clinic: Clinic) -> None:
    dataset = clinic.open(clinic.prepare(clinic.snapshot(simple_images(range(20))), PERMISSIVE))
    edit_manifest(dataset, lambda rows: rows.assign(licence="CC-BY-NC"))
    with pytest.raises(LicenceRefused, match="20 others"):
        verify_certificate(dataset)


@pytest.mark.parametrize(
    ("attribution", "source"),
    [
        ("Hospital A", "hospital a"),
        ("  Hospital\tA. ", "hospital a"),
        ("Anonymous", "anonymous"),
        ("", "anonymous"),
        ("ViDIR Group, Department of Dermatology", "vidir group, department of dermatology"),
    ],
)
def test_a_source_is_whom_the_image_credits(attribution: str, source: str) -> None:
    assert source_of(attribution) == source


def test_a_withdrawn_id_in_the_tables_is_refused(clinic: Clinic) -> None:
    dataset = clinic.open(clinic.prepare(clinic.snapshot(simple_images(range(20)))))
    path = dataset.folder / "certificate.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "withdrawn": ["ISIC_0000003"]}))
    with pytest.raises(ManifestError, match="withdrawn differ"):
        verify_certificate(dataset)
