"""Folds: whole groups, every class and source, the same for good; and the splits made of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lesion_core.dataset.proof.leakage import NO_FOLD, QUARANTINED
from lesion_core.dataset.records import OpenDataset
from lesion_core.dataset.splitting.folds import assign_folds, hold_test, splits_of_fold
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.errors import ConfigError, DataError, ManifestError
from lesion_core.labels import class_index
from tests.core.dataset.test_splits import by_id, manifests, table

N_FOLDS = 5


@settings(max_examples=40, deadline=None)
@given(manifest=manifests(), seed=st.integers(0, 99), data=st.data())
def test_a_group_is_in_one_fold_and_row_order_does_not_matter(
    manifest: pd.DataFrame, seed: int, data: st.DataObject
) -> None:
    folds = assign_folds(manifest, N_FOLDS, seed)
    assert folds.dtype == np.int8
    assert set(folds) == set(range(N_FOLDS))
    assert folds.groupby(manifest["group"]).nunique().max() == 1
    shuffled = manifest.iloc[data.draw(st.permutations(range(len(manifest))))]
    pd.testing.assert_series_equal(assign_folds(shuffled, N_FOLDS, seed).sort_index(), folds)


@settings(max_examples=40, deadline=None)
@given(manifest=manifests(), share=st.floats(0.5, 0.95), seed=st.integers(0, 9))
def test_nothing_changes_its_fold_when_the_dataset_grows(manifest: pd.DataFrame, share: float, seed: int) -> None:
    names = sorted(manifest["group"].unique())
    kept = set(np.random.default_rng(seed).permutation(names)[: int(len(names) * share)])
    first = manifest[manifest["group"].isin(kept)]
    try:
        history = dict(zip(first["isic_id"], assign_folds(first, N_FOLDS, 7), strict=True))
    except DataError:
        assume(False)
    grown = dict(zip(manifest["isic_id"], assign_folds(manifest, N_FOLDS, 7, history), strict=True))
    assert {isic_id: grown[isic_id] for isic_id in history} == history
    assert NO_FOLD not in grown.values()


@settings(max_examples=30, deadline=None)
@given(
    n_groups=st.dictionaries(
        st.tuples(st.sampled_from(["NV", "MEL", "DF"]), st.sampled_from(["a", "b", "c"])),
        st.integers(5, 60),
        min_size=2,
    ),
    n_folds=st.integers(3, 10),
)
def test_classes_and_sources_have_their_share_in_every_fold(
    n_groups: dict[tuple[str, str], int], n_folds: int
) -> None:
    parts = [
        table([(f"{name}{source}{number:03d}", name, 1) for number in range(n)]).assign(source=source)
        for (name, source), n in n_groups.items()
    ]
    manifest = pd.concat(parts, ignore_index=True)
    folds = assign_folds(manifest, n_folds, 7)
    for columns, allowed in ((["diagnosis"], 1.0), (["diagnosis", "source"], 2.0)):
        counts = manifest.groupby([*columns, folds]).size().unstack(fill_value=0)
        wanted = counts.sum(axis=1) / n_folds
        assert (counts.sub(wanted, axis=0).abs() <= allowed + 1e-9).all(axis=None), counts


@settings(max_examples=30, deadline=None)
@given(manifest=manifests(), seed=st.integers(0, 9))
def test_groups_of_the_test_split_are_in_no_fold_whatever_they_were_in_before(
    manifest: pd.DataFrame, seed: int
) -> None:
    before = by_id(manifest, assign_folds(manifest, N_FOLDS, seed))  # as versions did that put all images into folds
    tested = set(manifest["group"].unique()[::3])
    assume(manifest["group"].nunique() - len(tested) >= 2 * N_FOLDS)
    for history in ({}, before):
        try:
            folds = assign_folds(manifest, N_FOLDS, seed, history, tested=tested)
        except DataError:
            assume(False)
        is_tested = manifest["group"].isin(tested)
        assert (folds[is_tested] == NO_FOLD).all()
        assert (folds[~is_tested] != NO_FOLD).all()
        if history:
            assert by_id(manifest[~is_tested], folds[~is_tested]).items() <= before.items()


def test_joined_groups_take_the_lowest_fold_and_the_rest_is_left_out_for_good() -> None:
    manifest = table([(f"g{number:02d}", "NV", 1) for number in range(20)] + [("j", "NV", 3)])
    folds = by_id(manifest, assign_folds(manifest, N_FOLDS, 7, {"j-0": 3, "j-1": 1}))
    assert (folds["j-0"], folds["j-1"], folds["j-2"]) == (NO_FOLD, 1, 1)
    again = by_id(manifest, assign_folds(manifest, N_FOLDS, 7, folds))
    assert again == folds


def test_a_withdrawn_image_still_holds_its_group_s_fold() -> None:
    manifest = table([(f"g{number:02d}", "NV", 1) for number in range(20)] + [("j", "NV", 1)])
    for fold in range(N_FOLDS):
        folds = assign_folds(manifest, N_FOLDS, 7, {"gone": fold}, withdrawn={"gone": "j"})
        assert by_id(manifest, folds)["j-0"] == fold


def test_too_few_groups_and_unknown_folds_are_refused() -> None:
    with pytest.raises(DataError, match="nothing in fold 4"):
        assign_folds(table([(f"g{number}", "NV", 3) for number in range(4)]), N_FOLDS, 7)
    with pytest.raises(ManifestError, match=r"folds from -1 to 4 in the split history, got \[7\]"):
        assign_folds(table([("g", "NV", 1)]), N_FOLDS, 7, {"g-0": 7})


def rows_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return rows as a dataset has them."""
    return manifest.assign(
        split="train",
        fold=assign_folds(manifest, N_FOLDS, 7),
        class_index=manifest["diagnosis"].map(class_index),
    ).drop(columns=["diagnosis", "source"])


@settings(max_examples=30, deadline=None)
@given(manifest=manifests(), fold=st.integers(0, N_FOLDS - 1), data=st.data())
def test_cross_validation_tests_every_image_once_and_splits_no_group(
    manifest: pd.DataFrame, fold: int, data: st.DataObject
) -> None:
    rows = rows_of(manifest)
    splits = splits_of_fold(rows, fold)
    assert ((splits == "test") == (rows["fold"] == fold)).all()
    assert splits.isin(["validation", "calibration"]).equals(rows["fold"] == (fold + 1) % N_FOLDS)
    assert splits.groupby(rows["group"]).nunique().max() == 1
    shuffled = rows.iloc[data.draw(st.permutations(range(len(rows))))]
    pd.testing.assert_series_equal(splits_of_fold(shuffled, fold).sort_index(), splits)


def test_the_halves_of_the_next_fold_are_alike() -> None:
    manifest = table([(f"{name}{n:03d}", name, 1) for name in ("NV", "MEL") for n in range(100)])
    rows = rows_of(manifest)
    counts = pd.crosstab(rows["class_index"], splits_of_fold(rows, 2))
    assert (counts["validation"] == 10).all()
    assert (counts["calibration"] == 10).all()


def test_what_is_quarantined_or_in_no_fold_is_in_no_split() -> None:
    rows = rows_of(table([(f"g{number:02d}", "NV", 1) for number in range(30)]))
    rows.loc[3, "split"] = QUARANTINED
    rows.loc[8, "fold"] = NO_FOLD
    for fold in range(N_FOLDS):
        assert list(np.flatnonzero(splits_of_fold(rows, fold) == QUARANTINED)) == [3, 8]


def test_an_opened_dataset_has_the_splits_of_a_fold(dataset: OpenDataset) -> None:
    tested = pd.concat([dataset.for_fold(fold).split("test")["isic_id"] for fold in range(N_FOLDS)])
    assert sorted(tested) == sorted(dataset.rows.loc[dataset.rows["split"] != "test", "isic_id"])
    assert not hold_test(dataset.rows)
    assert set(dataset.for_fold(0).rows["split"]) == {*SPLITS, QUARANTINED}  # set aside: the frozen test
    assert dataset.for_fold(1).rows.drop(columns="split").equals(dataset.rows.drop(columns="split"))
    with pytest.raises(ConfigError, match="a fold from 0 to 4, got 5"):
        dataset.for_fold(5)
