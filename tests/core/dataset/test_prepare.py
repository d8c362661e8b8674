"""The whole step: made once, kept for good, grown without a move, continued after an interruption."""

import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset import records, shards
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import latest_dataset, prepare
from lesion_core.dataset.proof.certificate import read_certificate, verify_certificate
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError, DataError
from lesion_core.images import Preprocessing, preprocess
from lesion_core.progress import Progress
from lesion_core.refs import DatasetRef, SnapshotRef
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.dataset.snapshots import draw, encode, image_row, simple_images, store_snapshot
from tests.core.stores.conftest import s3_store
from tests.servers import S3Server, minio
from tests.stages import finished_stages

__all__ = ["minio"]

OPTIONS = PrepareOptions(name="grown", size_px=32)


class Clinic:
    """A store, and the way from images to an opened dataset in it."""

    def __init__(self, store: Store, place: Path) -> None:
        self.store = store
        self.place = place
        self.work = place / "work"
        self._n_snapshots = 0

    def snapshot(self, images: Iterable[tuple[dict[str, Any], bytes]]) -> SnapshotRef:
        self._n_snapshots += 1
        return store_snapshot(self.store, images, self.place / f"snapshot-{self._n_snapshots}")

    def prepare(self, snapshot: SnapshotRef, options: PrepareOptions = OPTIONS) -> DatasetRef:
        return prepare(snapshot, options, self.store, workdir=self.work)

    def open(self, ref: DatasetRef) -> OpenDataset:
        opened = open_dataset(self.store, ref, self.place / "cache")
        verify_certificate(opened)
        return opened

    def splits(self, images: Iterable[tuple[dict[str, Any], bytes]], **changes: Any) -> dict[str, str]:
        rows = self.open(self.prepare(self.snapshot(images), OPTIONS.model_copy(update=changes))).rows
        return dict(zip(rows["isic_id"], rows["split"], strict=True))


@pytest.fixture
def clinic(store: LocalStore, tmp_path: Path) -> Clinic:
    return Clinic(store, tmp_path)


def follows(split: str) -> str:
    """Where a new image of a group in ``split`` goes: the test is frozen."""
    return QUARANTINED if split == "test" else split


def keys(store: Store) -> set[str]:
    return set(store.list("datasets/"))


def test_the_reference_says_what_was_made(clinic: Clinic) -> None:
    images = simple_images(range(20)) + simple_images([20], licence="CC-BY", is_synthetic=True)
    ref = clinic.prepare(clinic.snapshot(images))
    assert (ref.n_images, ref.n_groups, ref.size_px, ref.licence, ref.synthetic) == (21, 21, 32, "CC-BY", True)
    assert ref.id.startswith("grown/")
    assert set(clinic.open(ref).rows["split"]) == {"train", "validation", "calibration", "test"}


def test_the_same_inputs_recompute_nothing(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = clinic.snapshot(simple_images(range(20)))
    ref = clinic.prepare(snapshot)
    before = keys(clinic.store)
    monkeypatch.setattr("lesion_core.dataset.prepare.write_shards", None)
    assert clinic.prepare(snapshot) == ref
    assert keys(clinic.store) == before


def test_the_same_inputs_recompute_nothing_even_after_the_dataset_has_grown(clinic: Clinic) -> None:
    small, large = clinic.snapshot(simple_images(range(20))), clinic.snapshot(simple_images(range(30)))
    first = clinic.prepare(small)
    second = clinic.prepare(large)
    assert clinic.prepare(small) == first
    assert clinic.prepare(large) == second
    assert latest_dataset(clinic.store, "grown") == second


def test_scratch_is_cleared(clinic: Clinic) -> None:
    clinic.prepare(clinic.snapshot(simple_images(range(20))))
    assert [path.name for path in clinic.work.iterdir() if path.is_dir()] == []


def test_growth_moves_nothing(clinic: Clinic) -> None:
    before = clinic.splits(simple_images(range(20)))
    after = clinic.splits(simple_images(range(40)))
    assert {isic_id: after[isic_id] for isic_id in before} == before
    assert len(after) == 40


def test_another_size_or_seed_under_the_same_name_keeps_the_splits(clinic: Clinic) -> None:
    before = clinic.splits(simple_images(range(20)))
    assert clinic.splits(simple_images(range(20)), size_px=48) == before
    assert clinic.splits(simple_images(range(20)), seed=99) == before


def test_levelled_records_are_another_dataset_with_the_same_splits(clinic: Clinic) -> None:
    snapshot, levelling = clinic.snapshot(simple_images(range(20))), "shades-of-gray"
    plain = clinic.prepare(snapshot)
    levelled = clinic.prepare(snapshot, OPTIONS.for_recipe("grown", 32, levelling))
    assert (plain.colour_constancy, levelled.colour_constancy) == ("none", levelling)
    assert plain.id != levelled.id
    dataset = clinic.open(levelled)
    assert dataset.rows["split"].tolist() == clinic.open(plain).rows["split"].tolist()
    preprocessing = Preprocessing(size_px=32, colour_constancy=levelling)
    keys_of = pd.read_parquet(dataset.folder / "manifest.parquet").set_index("isic_id")["image_key"]
    for isic_id, record in zip(dataset.rows["isic_id"], dataset.pixels(dataset.rows), strict=True):
        wanted = preprocess(clinic.store.read(keys_of[isic_id]), preprocessing, image_id=isic_id)
        np.testing.assert_array_equal(record, wanted)


def test_what_is_made_without_levelling_is_named_as_before_there_was_a_choice() -> None:
    assert "colour_constancy" not in OPTIONS.model_dump(mode="json")
    assert OPTIONS.for_recipe("grown", 32, "shades-of-gray").model_dump()["colour_constancy"] == "shades-of-gray"


def test_another_name_is_split_anew(clinic: Clinic) -> None:
    before = clinic.splits(simple_images(range(40)))
    assert clinic.splits(simple_images(range(40)), name="other", seed=99) != before


def test_a_new_image_of_a_known_patient_follows_the_patient(clinic: Clinic) -> None:
    def images(n_more: int) -> list[tuple[dict[str, Any], bytes]]:
        known = [
            (row | {"patient_id": f"P{number}"}, data) for number, (row, data) in enumerate(simple_images(range(20)))
        ]
        more = simple_images(range(100, 100 + n_more))
        return known + [(row | {"patient_id": f"P{number}"}, data) for number, (row, data) in enumerate(more)]

    before = clinic.splits(images(0))
    after = clinic.splits(images(20))
    for number in range(20):
        assert after[f"ISIC_{100 + number:07d}"] == follows(before[f"ISIC_{number:07d}"])


def test_new_evidence_across_splits_quarantines_the_weaker_side(clinic: Clinic) -> None:
    images = simple_images(range(20))
    before = clinic.splits(images)
    learnt = next(isic_id for isic_id, split in before.items() if split == "train")
    tested = next(isic_id for isic_id, split in before.items() if split == "test")
    joined = [
        (row | {"lesion_id": "IL_9"} if row["isic_id"] in (learnt, tested) else row, data) for row, data in images
    ]
    ref = clinic.prepare(clinic.snapshot(joined))
    opened = clinic.open(ref)
    after = dict(zip(opened.rows["isic_id"], opened.rows["split"], strict=True))
    assert after == {**before, learnt: QUARANTINED}
    certificate = read_certificate(opened.folder)
    assert certificate.n_quarantined == 1
    assert certificate.quarantined_groups == (min(learnt, tested),)
    assert sum(certificate.images[QUARANTINED].values()) == 1


def test_a_near_duplicate_that_arrives_later_follows_its_original(clinic: Clinic) -> None:
    before = clinic.splits(simple_images(range(20)))
    copies = [encode(np.rot90(draw(number)), "JPEG", quality=70) for number in range(20)]
    late = [(image_row(200 + number, data), data) for number, data in enumerate(copies)]
    after = clinic.splits(simple_images(range(20)) + late)
    for number in range(20):
        assert after[f"ISIC_{200 + number:07d}"] == follows(before[f"ISIC_{number:07d}"])


def test_a_withdrawn_patient_keeps_the_split(clinic: Clinic) -> None:
    others = simple_images(range(20))
    before = clinic.splits(others + simple_images(range(50, 58), patient_id="IP_1"))
    between = clinic.splits(others)
    assert not any(isic_id.startswith("ISIC_000005") for isic_id in between)
    clinic.splits(simple_images(range(22)))  # the memory outlives several datasets
    after = clinic.splits(others + simple_images([70], patient_id="IP_1"))
    assert after["ISIC_0000070"] == follows(before["ISIC_0000050"])


def test_progress_is_reported(clinic: Clinic) -> None:
    reports: list[Progress] = []
    snapshot = clinic.snapshot(simple_images(range(20)))
    prepare(snapshot, OPTIONS, clinic.store, workdir=clinic.work, on_progress=reports.append)
    parts = finished_stages(reports)
    assert list(parts) == [
        "records", "near-duplicates", "near-duplicates, verified", "groups and splits", "border colours",
        "shortcut audit", "publish",
    ]  # fmt: skip
    assert parts["records"] == parts["border colours"] == 20


def test_progress_moves_within_a_shard_of_records(clinic: Clinic) -> None:
    reports: list[Progress] = []
    snapshot = clinic.snapshot(simple_images(range(70)))
    prepare(snapshot, OPTIONS, clinic.store, workdir=clinic.work, on_progress=reports.append)
    assert [each.done for each in reports if each.stage == "records"] == [32, 64, 70]


@pytest.fixture
def short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight images a shard."""
    for module in (records, shards):
        monkeypatch.setattr(module, "SHARD_ROWS", 8)
    monkeypatch.setattr("lesion_core.dataset.prepare.SHARD_ROWS", 8)


@pytest.mark.usefixtures("short_shards")
def test_an_interrupted_preparation_continues(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = clinic.snapshot(simple_images(range(20)))

    def stop(news: Progress) -> None:
        if news.done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(snapshot, OPTIONS, clinic.store, workdir=clinic.work, on_progress=stop)
    assert keys(clinic.store) == set()
    [left] = [path for path in clinic.work.iterdir() if path.is_dir()]
    (left / "dataset" / "records" / ".0123.partial").write_bytes(b"half a shard of a killed process")

    decoded: list[str] = []
    preprocess_each = shards.preprocess_each

    def counted(data: bytes, sizes: Sequence[Preprocessing], *, image_id: str) -> tuple[np.ndarray, ...]:
        decoded.append(image_id)
        return preprocess_each(data, sizes, image_id=image_id)

    monkeypatch.setattr(shards, "preprocess_each", counted)
    opened = clinic.open(clinic.prepare(snapshot))
    assert sorted(decoded) == [f"ISIC_{number:07d}" for number in range(16, 20)]
    fresh = Clinic(LocalStore(clinic.place / "elsewhere"), clinic.place / "fresh")
    whole = fresh.open(fresh.prepare(fresh.snapshot(simple_images(range(20)))))
    np.testing.assert_array_equal(opened.pixels(opened.rows), whole.pixels(whole.rows))


@pytest.mark.usefixtures("short_shards")
def test_a_damaged_leftover_is_made_again(clinic: Clinic) -> None:
    snapshot = clinic.snapshot(simple_images(range(20)))

    def stop(news: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(snapshot, OPTIONS, clinic.store, workdir=clinic.work, on_progress=stop)
    [shard] = clinic.work.glob("*/dataset/records/*.npy")
    shard.write_bytes(shard.read_bytes()[:1000])
    opened = clinic.open(clinic.prepare(snapshot))
    assert len(opened.pixels(opened.rows)) == 20


@pytest.mark.usefixtures("short_shards")
def test_images_that_do_not_decode_are_all_named(clinic: Clinic) -> None:
    images = simple_images(range(20))
    for number in (3, 17):
        data = images[number][1][:200]
        images[number] = (image_row(number, data), data)
    with pytest.raises(DataError, match=r"2 that do not \(ISIC_0000003: .*cut short.*; ISIC_0000017") as caught:
        clinic.prepare(clinic.snapshot(images))
    assert caught.value.isic_ids == ["ISIC_0000003", "ISIC_0000017"]
    assert keys(clinic.store) == set()


def test_bytes_that_changed_in_the_store_are_refused(clinic: Clinic) -> None:
    images = simple_images(range(20))
    snapshot = clinic.snapshot(images)
    clinic.store.write(images[5][0]["image_key"], images[6][1])
    with pytest.raises(ArtifactCorrupt, match="ISIC_0000005"):
        clinic.prepare(snapshot)
    assert keys(clinic.store) == set()


def test_an_image_that_is_gone_is_named(clinic: Clinic) -> None:
    images = simple_images(range(20))
    snapshot = clinic.snapshot(images)
    clinic.store.remove(images[5][0]["image_key"])
    with pytest.raises(ArtifactNotFound, match="ISIC_0000005"):
        clinic.prepare(snapshot)


def test_too_few_images_are_refused_in_words(clinic: Clinic) -> None:
    with pytest.raises(DataError, match="Ingest more images"):
        clinic.prepare(clinic.snapshot(simple_images(range(3))))
    assert keys(clinic.store) == set()


def test_fractions_are_checked_before_any_work(clinic: Clinic) -> None:
    missing = SnapshotRef(
        id="x/y", key="snapshots/x/y", sha256="0" * 64, n_images=9, n_excluded=0, licence="CC-0", synthetic=False
    )
    with pytest.raises(ConfigError, match="for training"):
        clinic.prepare(missing, PrepareOptions(validation=0.4, calibration=0.4, test=0.4))


def test_a_name_without_a_dataset_is_said_in_words(clinic: Clinic) -> None:
    clinic.prepare(clinic.snapshot(simple_images(range(20))))
    with pytest.raises(ArtifactNotFound, match=r"a dataset called 'grow'.*run the flow 'prepare'"):
        latest_dataset(clinic.store, "grow")


def test_two_workers_at_once_make_one_dataset(clinic: Clinic) -> None:
    snapshot = clinic.snapshot(simple_images(range(20)))
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: clinic.prepare(snapshot), range(2))
    assert one == other
    assert len([key for key in keys(clinic.store) if key.endswith("index.json")]) == 1


@pytest.fixture
def remote(minio: S3Server, tmp_path: Path) -> Clinic:
    return Clinic(s3_store(minio), tmp_path)


def test_a_dataset_in_s3_is_the_same(remote: Clinic, clinic: Clinic) -> None:
    images = simple_images(range(20))
    far, near = (
        remote.open(remote.prepare(remote.snapshot(images))),
        clinic.open(clinic.prepare(clinic.snapshot(images))),
    )
    assert near.rows.equals(far.rows)
    np.testing.assert_array_equal(far.pixels(far.rows), near.pixels(near.rows))
    shutil.rmtree(remote.place / "cache")
    assert len(remote.open(far.ref).rows) == 20
