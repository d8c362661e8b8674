"""Groups that options hold out for the test; and that options that are not asked for change no name."""

from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.proof.certificate import verify_certificate
from lesion_core.dataset.records import open_dataset
from lesion_core.dataset.splitting.splits import Reason, assign_splits
from lesion_core.errors import ArtifactNotFound, DataError
from lesion_core.keys import digest_of
from lesion_core.labels import Diagnosis
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import simple_images, store_snapshot

# Of the default options as they were before there were these: datasets made then keep their names.
DEFAULT_DIGEST = "cefbf1f86bb5c091c221a96529a27e6432f2a97b1d8913cc18fcecba20f06d4c"


def manifest_of(n_groups: int = 60) -> pd.DataFrame:
    """Two images in each group; three classes, and three sources that hold two groups of every class in turn."""
    numbers = [number for number in range(n_groups) for _ in range(2)]
    return pd.DataFrame(
        {
            "isic_id": [f"ISIC_{place:07d}" for place in range(len(numbers))],
            "group": [f"g{number:03d}" for number in numbers],
            "diagnosis": [("MEL", "NV", "DF")[number % 3] for number in numbers],
            "source": [("hospital a", "hospital b", "hospital c")[number // 3 % 3] for number in numbers],
        }
    )


def test_options_that_are_not_asked_for_change_no_name() -> None:
    assert digest_of(PrepareOptions().model_dump(mode="json")) == DEFAULT_DIGEST
    for changes in ({"test_only": True}, {"leave_out_source": "a"}, {"leave_out_class": "DF"}):
        assert digest_of(PrepareOptions.model_validate(changes).model_dump(mode="json")) != DEFAULT_DIGEST


def test_only_one_of_them_may_be_asked_for() -> None:
    with pytest.raises(ValidationError, match="at most one of test_only, leave_out_source and leave_out_class"):
        PrepareOptions(test_only=True, leave_out_class=Diagnosis.DF)


def test_a_source_that_is_left_out_is_the_test_and_nothing_else_is() -> None:
    manifest = manifest_of()
    manifest.loc[1, "source"] = "hospital b"  # one image of another source in a group of the one that is left out
    placed = assign_splits(manifest, PrepareOptions(leave_out_source="Hospital A."))
    of_source = manifest["source"] == "hospital a"
    assert set(placed.loc[of_source, "split"]) == {"test"}
    assert placed.loc[1].tolist() == ["quarantined", str(Reason.BESIDE)]
    assert set(placed.loc[~of_source, "split"]) == {"train", "validation", "calibration", "quarantined"}
    assert (placed["split"] == "quarantined").sum() == 1
    shares = placed.loc[~of_source, "split"].value_counts(normalize=True)
    assert shares["validation"] == pytest.approx(0.12 / 0.8, abs=0.05)


def test_a_class_that_is_left_out_is_in_the_test_alone_among_others() -> None:
    manifest = manifest_of()
    manifest.loc[manifest["group"] == "g001", "group"] = "g002"  # a nevus joined to a dermatofibroma goes with it
    placed = assign_splits(manifest, PrepareOptions(leave_out_class=Diagnosis.DF))
    assert set(placed.loc[manifest["diagnosis"] == "DF", "split"]) == {"test"}
    assert set(placed.loc[manifest["group"] == "g002", "split"]) == {"test"}
    known = placed.loc[manifest["diagnosis"] != "DF", "split"]
    assert set(known) == {"train", "validation", "calibration", "test"}
    assert known.value_counts(normalize=True)["test"] == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave_out_source": "nowhere"}, r"of the source 'nowhere' to leave out, got 'hospital a' \(4"),
        ({"leave_out_class": "VASC"}, r"of the diagnosis 'VASC' to leave out, got 'MEL' \(40\)"),
    ],
)
def test_nothing_to_leave_out_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        assign_splits(manifest_of(), PrepareOptions.model_validate(changes))


def test_a_dataset_without_a_source_is_certified(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    images = [*simple_images(range(24)), *simple_images(range(24, 30), attribution="Clinic B")]
    snapshot = store_snapshot(store, images, tmp_path / "snapshot")
    options = PrepareOptions(name="small", size_px=32, leave_out_source="clinic b", n_folds=3)
    opened = open_dataset(store, prepare(snapshot, options, store, workdir=tmp_path / "work"), tmp_path / "cache")
    certificate = verify_certificate(opened)
    assert certificate.sources["clinic b"] == {"test": 6, "train": 0, "validation": 0, "calibration": 0}
    assert certificate.sources["anonymous"]["test"] == 0


def test_a_snapshot_that_is_no_folders_is_no_external_test(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    snapshot = store_snapshot(store, simple_images(range(4)), tmp_path / "snapshot")
    with pytest.raises(ArtifactNotFound, match=r"external\.json"):
        prepare(snapshot, PrepareOptions(name="x", size_px=32, test_only=True), store, workdir=tmp_path / "work")
