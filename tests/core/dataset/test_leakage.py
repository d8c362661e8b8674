"""Every kind of evidence in two splits is refused by name."""

import pandas as pd
import pytest

from lesion_core.dataset.proof.leakage import EVIDENCE_COLUMNS, NO_FOLD, QUARANTINED, assert_disjoint, find_overlaps
from lesion_core.errors import LeakageError, ManifestError


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "isic_id": ["A", "B", "C", "D"],
            "group": ["A", "B", "C", "D"],
            "patient_id": ["P1", None, "P3", None],
            "lesion_id": [None, "L2", None, None],
            "sha256": ["1" * 64, "2" * 64, "3" * 64, "4" * 64],
            "split": ["train", "validation", "test", "calibration"],
            "fold": [0, 1, 2, 3],
        }
    )


def test_disjoint_rows_pass() -> None:
    assert_disjoint(rows(), [])
    assert find_overlaps(rows()) == []


@pytest.mark.parametrize("kind", EVIDENCE_COLUMNS)
def test_each_kind_of_leak_between_folds_is_named(kind: str) -> None:
    leaky = rows().assign(split="train")
    leaky.loc[[0, 2], kind] = "SHARED"
    with pytest.raises(LeakageError, match=f"{kind} SHARED in fold 0 and fold 2"):
        assert_disjoint(leaky)
    assert_disjoint(leaky.assign(fold=1))


def test_a_near_duplicate_pair_across_folds_is_named() -> None:
    with pytest.raises(LeakageError, match="near_duplicate A ~ D in fold 0 and fold 3"):
        assert_disjoint(rows().assign(split="train"), [("A", "D")])


def test_images_in_no_fold_are_no_leak_between_folds() -> None:
    leaky = rows().assign(split="train")
    leaky.loc[[0, 2], "lesion_id"] = "SHARED"
    assert_disjoint(leaky.assign(fold=[0, 1, NO_FOLD, 3]), [("A", "C")])


@pytest.mark.parametrize("kind", EVIDENCE_COLUMNS)
def test_each_kind_of_leak_is_named(kind: str) -> None:
    leaky = rows()
    leaky.loc[[0, 2], kind] = "SHARED"
    with pytest.raises(LeakageError, match=f"{kind} SHARED in test and train") as caught:
        assert_disjoint(leaky)
    assert (caught.value.kind, caught.value.value, caught.value.splits) == (kind, "SHARED", ("test", "train"))


def test_a_near_duplicate_pair_across_splits_is_named() -> None:
    with pytest.raises(LeakageError, match="near_duplicate A ~ D in calibration and train"):
        assert_disjoint(rows(), [("A", "D")])


def test_quarantined_rows_are_no_leak() -> None:
    leaky = rows()
    leaky.loc[[0, 2], "lesion_id"] = "SHARED"
    leaky.loc[0, "split"] = QUARANTINED
    assert_disjoint(leaky, [("A", "C")])


def test_missing_ids_are_no_leak() -> None:
    assert_disjoint(rows().assign(patient_id=None, lesion_id=float("nan")))


def test_what_was_not_looked_at_is_not_proven() -> None:
    with pytest.raises(ManifestError, match="patient_id"):
        assert_disjoint(rows().drop(columns="patient_id"))
