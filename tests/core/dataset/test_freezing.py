"""The frozen test: under one name it never gains an image; a new name lets it grow by whole groups."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesion_core.dataset.manifest import write_table
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.proof.certificate import Certificate, read_certificate
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.records import OpenDataset
from lesion_core.dataset.splitting.freezing import check_frozen, digest_of_ids
from lesion_core.dataset.splitting.split_history import (
    SPLIT_HISTORY_SCHEMA,
    empty_split_history,
    next_split_history,
    parse_split_history,
)
from lesion_core.dataset.splitting.splits import Reason, assign_splits
from lesion_core.errors import ConfigError, DataError
from lesion_core.labels import CLASS_ORDER
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import simple_images
from tests.core.dataset.test_prepare import OPTIONS, Clinic
from tests.core.dataset.test_splits import by_id, table


@pytest.fixture
def clinic(store: LocalStore, tmp_path: Path) -> Clinic:
    return Clinic(store, tmp_path)


def prepared(clinic: Clinic, *numbers: range, test_name: str = "test-1", **changes: object) -> OpenDataset:
    images = [image for part in numbers for image in simple_images(part, **changes)]
    options = OPTIONS.model_copy(update={"test_name": test_name})
    return clinic.open(clinic.prepare(clinic.snapshot(images), options))


def ids_in_test(dataset: OpenDataset) -> set[str]:
    return set(dataset.split("test")["isic_id"])


def certificate_of(dataset: OpenDataset) -> Certificate:
    return read_certificate(dataset.folder)


def test_under_one_name_the_test_never_gains_an_image(clinic: Clinic) -> None:
    first = prepared(clinic, range(20))
    grown = prepared(clinic, range(40))
    assert ids_in_test(grown) == ids_in_test(first)
    new = grown.rows[grown.rows["isic_id"] >= "ISIC_0000020"]
    assert set(new["split"]) == {"train", "validation", "calibration"}
    assert certificate_of(grown).test == certificate_of(first).test
    assert certificate_of(first).test.sha256 == digest_of_ids(ids_in_test(first))
    assert certificate_of(first).test.n_images == len(ids_in_test(first))


def test_an_image_that_leaves_is_only_removed_and_may_come_back(clinic: Clinic) -> None:
    first = prepared(clinic, range(20))
    gone = max(ids_in_test(first))
    number = int(gone[-4:])
    less = prepared(clinic, range(number), range(number + 1, 40))
    assert ids_in_test(less) == ids_in_test(first) - {gone}
    assert certificate_of(less).test.frozen_sha256 == certificate_of(first).test.sha256
    assert certificate_of(less).test.n_frozen == certificate_of(less).test.n_images + 1
    assert ids_in_test(prepared(clinic, range(41))) == ids_in_test(first)


def test_a_new_image_of_a_test_lesion_is_set_aside_until_the_test_has_a_new_name(clinic: Clinic) -> None:
    def images(n_more: int, test_name: str) -> OpenDataset:
        lesions = [(row | {"lesion_id": f"IL_{row['isic_id']}"}, data) for row, data in simple_images(range(20))]
        twins = zip(lesions, simple_images(range(100, 100 + n_more)), strict=False)
        more = [(row | {"lesion_id": known["lesion_id"]}, data) for (known, _), (row, data) in twins]
        options = OPTIONS.model_copy(update={"test_name": test_name})
        return clinic.open(clinic.prepare(clinic.snapshot(lesions + more), options))

    first = images(0, "test-1")
    again = images(20, "test-1")
    twins = {f"ISIC_{100 + int(isic_id[-4:]):07d}" for isic_id in ids_in_test(first)}
    assert ids_in_test(again) == ids_in_test(first)
    assert set(again.split(QUARANTINED)["isic_id"]) == twins
    assert certificate_of(again).quarantine_reasons == {str(Reason.FROZEN): len(twins)}
    second = images(20, "test-2")
    assert ids_in_test(second) == ids_in_test(first) | twins
    assert certificate_of(second).n_quarantined == 0


def test_a_new_name_lets_the_test_grow_by_new_groups_and_freezes_it_again(clinic: Clinic) -> None:
    first = prepared(clinic, range(20))
    second = prepared(clinic, range(60), test_name="test-2")
    assert ids_in_test(second) > ids_in_test(first)
    moved = first.rows.merge(second.rows, on="isic_id", suffixes=("", "_now"))
    assert (moved["split"] == moved["split_now"]).all()
    assert (moved["fold"] == moved["fold_now"]).all()
    assert ids_in_test(prepared(clinic, range(80), test_name="test-2")) == ids_in_test(second)


def test_an_older_test_is_not_taken_up_again(clinic: Clinic) -> None:
    prepared(clinic, range(20))
    prepared(clinic, range(30), test_name="test-2")
    with pytest.raises(ConfigError, match="expected the test split 'test-2', which dataset 'grown' has now"):
        prepared(clinic, range(31))


def test_what_returns_after_another_test_was_frozen_is_set_aside() -> None:
    """It was tested on under an older name only; under this one it would be a gain."""
    manifest = table([(f"g{number:02d}", str(CLASS_ORDER[number % 2]), 1) for number in range(40)])
    history = {"g00-0": "test", "g01-0": "test"}
    placed = assign_splits(manifest, OPTIONS, history, frozen={"g00-0"})
    assert by_id(manifest, placed["split"])["g00-0"] == "test"
    assert by_id(manifest, placed["split"])["g01-0"] == QUARANTINED
    assert by_id(manifest, placed["reason"])["g01-0"] == Reason.FROZEN
    assert (placed["split"] == "test").sum() == 1


def test_a_gain_is_refused_by_name(clinic: Clinic) -> None:
    first = prepared(clinic, range(20))
    ids = sorted(ids_in_test(first))
    check_frozen(clinic.store, "grown", "test-1", ids[1:])
    check_frozen(clinic.store, "grown", "test-2", ["ISIC_0000099"])
    with pytest.raises(DataError, match=rf"'test-1' to gain no image after {first.ref.id}.*ISIC_0000099"):
        check_frozen(clinic.store, "grown", "test-1", [*ids, "ISIC_0000099"])


def test_a_preparation_that_would_let_the_test_gain_is_stopped(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the placing ever forget the rule, nothing is published."""
    prepared(clinic, range(20))
    before = set(clinic.store.list("datasets/"))
    monkeypatch.setattr("lesion_core.dataset.prepare.is_frozen", lambda *_: False)
    with pytest.raises(DataError, match="gain no image"):
        prepared(clinic, range(60))
    assert set(clinic.store.list("datasets/")) == before


def test_the_number_of_folds_is_for_good(clinic: Clinic) -> None:
    snapshot = clinic.snapshot(simple_images(range(20)))
    clinic.prepare(snapshot)
    with pytest.raises(ConfigError, match="expected 5 folds, which the datasets of this name have, got 4"):
        prepare(snapshot, PrepareOptions(name="grown", size_px=32, n_folds=4), clinic.store, workdir=clinic.work)


def test_a_split_history_from_before_there_were_folds_is_read(tmp_path: Path) -> None:
    old = pa.schema([field for field in SPLIT_HISTORY_SCHEMA if field.name not in ("fold", "reason", "test_name")])
    rows = pd.DataFrame({"isic_id": ["A", "B"], "split": ["train", "test"], "sha256": ["1" * 64, "2" * 64]})
    rows = rows.assign(patient_id=None, lesion_id=None)
    write_table(rows, old, tmp_path / "old.parquet")
    history = parse_split_history((tmp_path / "old.parquet").read_bytes())
    assert list(history["split"]) == ["train", "test"]
    assert history["fold"].isna().all()
    manifest = rows.head(1).assign(fold=2, reason=None, test_name=None)
    write_table(next_split_history(history, manifest), SPLIT_HISTORY_SCHEMA, tmp_path / "new.parquet")
    assert pq.read_table(tmp_path / "new.parquet")["fold"].to_pylist() == [2, None]
    assert len(empty_split_history()) == 0
