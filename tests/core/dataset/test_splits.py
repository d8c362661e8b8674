"""Splits: whole groups, every class, the same for the same seed, and for good."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.splitting.splits import SPLITS, Reason, assign_splits
from lesion_core.errors import ConfigError, DataError, ManifestError
from lesion_core.labels import CLASS_ORDER

OPTIONS = PrepareOptions(name="small")


def table(groups: list[tuple[str, str, int]]) -> pd.DataFrame:
    """Return rows for (group, class, number of images)."""
    rows = [(f"{group}-{number}", group, name) for group, name, n in groups for number in range(n)]
    return pd.DataFrame(rows, columns=["isic_id", "group", "diagnosis"]).assign(source="")


def splits_of(manifest: pd.DataFrame, options: PrepareOptions = OPTIONS, *past: Any, **more: Any) -> pd.Series:
    return assign_splits(manifest, options, *past, **more)["split"]


def by_id(manifest: pd.DataFrame, splits: pd.Series) -> dict[str, str]:
    return dict(zip(manifest["isic_id"], splits, strict=True))


@st.composite
def manifests(draw: st.DrawFn) -> pd.DataFrame:
    """At least twelve groups of a common class, and any of others, some with images of two classes."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=12, max_size=30))
    groups = [(f"nv{number:03d}", "NV", size) for number, size in enumerate(sizes)]
    for name in ("MEL", "BCC", "DF"):
        for number in range(draw(st.integers(1, 9))):
            groups.append((f"{name}{number:03d}", name, draw(st.integers(1, 4))))
    if draw(st.booleans()):
        groups.append(("nv000", "MEL", 1))
    manifest = table(groups)
    manifest["isic_id"] = [f"ISIC_{number:07d}" for number in range(len(manifest))]
    return manifest


@settings(max_examples=60, deadline=None)
@given(manifest=manifests(), seed=st.integers(0, 99), data=st.data())
def test_no_group_is_in_two_splits_and_row_order_does_not_matter(
    manifest: pd.DataFrame, seed: int, data: st.DataObject
) -> None:
    options = OPTIONS.model_copy(update={"seed": seed})
    splits = splits_of(manifest, options)
    assert set(splits) <= set(SPLITS)
    assert splits.groupby(manifest["group"]).nunique().max() == 1
    order = data.draw(st.permutations(range(len(manifest))))
    shuffled = manifest.iloc[order]
    pd.testing.assert_series_equal(splits_of(shuffled, options).sort_index(), splits)


@settings(max_examples=60, deadline=None)
@given(manifest=manifests(), share=st.floats(0.5, 0.95), seed=st.integers(0, 9))
def test_nothing_moves_when_the_dataset_grows(manifest: pd.DataFrame, share: float, seed: int) -> None:
    names = sorted(manifest["group"].unique())
    kept = set(np.random.default_rng(seed).permutation(names)[: int(len(names) * share)])
    first = manifest[manifest["group"].isin(kept)]
    try:
        history = by_id(first, splits_of(first, OPTIONS))
    except DataError:
        assume(False)
    grown = by_id(manifest, splits_of(manifest, OPTIONS, history))
    assert {isic_id: grown[isic_id] for isic_id in history} == history
    assert QUARANTINED not in grown.values()


@settings(max_examples=60, deadline=None)
@given(manifest=manifests(), data=st.data())
def test_joined_groups_go_to_the_stronger_side_and_nothing_else_moves(
    manifest: pd.DataFrame, data: st.DataObject
) -> None:
    before = by_id(manifest, splits_of(manifest, OPTIONS))
    names = sorted(manifest["group"].unique())
    one, other = data.draw(st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True))
    joined = manifest.assign(group=manifest["group"].replace({one: other}))
    try:
        after = by_id(joined, splits_of(joined, OPTIONS, before))
    except DataError:
        assume(False)
    strength = ["train", "validation", "calibration", "test"]
    group_of = dict(zip(joined["isic_id"], joined["group"], strict=True))
    winner = max((before[i] for i in before if group_of[i] == other), key=strength.index)
    for isic_id, split in before.items():
        lost = group_of[isic_id] == other and split != winner
        assert after[isic_id] == (QUARANTINED if lost else split)


@pytest.mark.parametrize(
    ("sides", "winner"),
    [(("train", "test"), "test"), (("train", "validation"), "validation"), (("calibration", "test"), "test")],
)
def test_new_images_of_a_joined_group_follow_the_winner(sides: tuple[str, str], winner: str) -> None:
    manifest = table([(f"g{number:02d}", str(CLASS_ORDER[number % 2]), 1) for number in range(40)] + [("j", "NV", 3)])
    history = {f"j-{number}": side for number, side in enumerate(sides)}
    splits = by_id(manifest, splits_of(manifest, OPTIONS, history))
    assert splits["j-2"] == winner
    assert Counter(splits[f"j-{number}"] for number in range(3)) == {winner: 2, QUARANTINED: 1}


def test_a_quarantined_image_never_comes_back() -> None:
    manifest = table([(f"g{number:02d}", str(CLASS_ORDER[number % 2]), 1) for number in range(40)] + [("j", "NV", 2)])
    splits = by_id(manifest, splits_of(manifest, OPTIONS, {"j-0": QUARANTINED, "j-1": "test"}))
    assert (splits["j-0"], splits["j-1"]) == (QUARANTINED, "test")
    alone = by_id(manifest, splits_of(manifest, OPTIONS, {"j-0": QUARANTINED}))
    assert (alone["j-0"], alone["j-1"]) == (QUARANTINED, QUARANTINED)


def test_a_withdrawn_image_still_holds_its_group() -> None:
    manifest = table([(f"g{number:02d}", str(CLASS_ORDER[number % 2]), 1) for number in range(40)] + [("j", "NV", 1)])
    for split in SPLITS:
        splits = splits_of(manifest, OPTIONS, {"gone": split}, withdrawn={"gone": "j"})
        assert by_id(manifest, splits)["j-0"] == split


@pytest.mark.parametrize(
    ("n_groups", "expected"),
    [
        (1, {"train"}),
        (2, {"train", "test"}),
        (3, {"train", "test", "validation"}),
        (4, {"train", "test", "validation", "calibration"}),
        (9, {"train", "test", "validation", "calibration"}),
    ],
)
def test_a_rare_class_is_learnt_first_then_tested(n_groups: int, expected: set[str]) -> None:
    common = [(f"nv{number:03d}", "NV", 2) for number in range(50)] + [(f"m{n:03d}", "MEL", 1) for n in range(20)]
    manifest = table(common + [(f"df{number}", "DF", 1) for number in range(n_groups)])
    splits = splits_of(manifest, OPTIONS)
    assert set(splits[manifest["diagnosis"] == "DF"]) == expected


def test_shares_are_met_class_by_class() -> None:
    rng = np.random.default_rng(5)
    sizes = {"NV": 1500, "MEL": 300, "BCC": 90}
    manifest = table(
        [(f"{name}{n:04d}", name, int(rng.integers(1, 4))) for name, k in sizes.items() for n in range(k)]
    )
    splits = splits_of(manifest, OPTIONS)
    shares = pd.crosstab(manifest["diagnosis"], splits, normalize="index")
    for split, share in (("train", 0.58), ("validation", 0.12), ("calibration", 0.10), ("test", 0.20)):
        assert (shares[split] - share).abs().max() < 0.02


def test_large_groups_do_not_all_end_in_one_split() -> None:
    manifest = table(
        [(f"a{n:03d}", "NV", 1 + 5 * (n % 4 == 0)) for n in range(400)] + [(f"m{n}", "MEL", 1) for n in range(20)]
    )
    large = manifest["group"].map(manifest["group"].value_counts()) > 1
    seeds = [OPTIONS.model_copy(update={"seed": seed}) for seed in range(8)]
    share = pd.concat([large.groupby(splits_of(manifest, options)).mean() for options in seeds], axis=1).mean(axis=1)
    assert share.max() - share.min() < 0.1


def test_one_huge_patient_does_not_swamp_a_small_split() -> None:
    manifest = table([("big", "NV", 200)] + [(f"a{n:03d}", str(CLASS_ORDER[n % 2]), 1) for n in range(300)])
    splits = splits_of(manifest, OPTIONS)
    assert set(splits[manifest["group"] == "big"]) == {"train"}


def test_another_seed_draws_other_groups() -> None:
    manifest = table([(f"a{n:03d}", str(CLASS_ORDER[n % 2]), 1) for n in range(100)])
    other = splits_of(manifest, OPTIONS.model_copy(update={"seed": 8}))
    assert (splits_of(manifest, OPTIONS) != other).any()


def test_fractions_that_leave_nothing_to_learn_from_are_refused() -> None:
    options = PrepareOptions(validation=0.4, calibration=0.3, test=0.3)
    with pytest.raises(ConfigError, match=r"0\.4 \+ 0\.3 \+ 0\.3"):
        splits_of(table([("a", "NV", 1)]), options)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([("a", "NV", 50), ("b", "MEL", 50)], "validation, calibration, test without any"),
        ([(f"a{n}", "NV", 1) for n in range(50)], "1 class to learn"),
        ([(f"a{n}", "NV", 1) for n in range(3)], "NV 3"),
    ],
)
def test_too_little_to_split_is_said_in_words(groups: list[tuple[str, str, int]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        splits_of(table(groups), OPTIONS)


def test_an_unknown_split_in_the_split_history_is_refused() -> None:
    with pytest.raises(ManifestError, match="holdout"):
        splits_of(table([("a", "NV", 1)]), OPTIONS, {"a-0": "holdout"})


def test_sources_have_their_share_within_a_class() -> None:
    parts = [
        table([(f"{name}{source}{n:03d}", name, 1) for n in range(k)]).assign(source=source)
        for name, source, k in (("NV", "a", 300), ("NV", "b", 40), ("MEL", "a", 30), ("MEL", "c", 100))
    ]
    manifest = pd.concat(parts, ignore_index=True)
    counts = pd.crosstab([manifest["diagnosis"], manifest["source"]], splits_of(manifest))
    totals = counts.sum(axis=1)
    for split, share in (("train", 0.58), ("validation", 0.12), ("calibration", 0.10), ("test", 0.20)):
        assert (counts[split] - share * totals).abs().max() <= 2
        by_class = (counts[split] - share * totals).groupby("diagnosis").sum()
        assert by_class.abs().max() <= 1


@settings(max_examples=30, deadline=None)
@given(manifest=manifests(), share=st.floats(0.5, 0.95), seed=st.integers(0, 9))
def test_a_frozen_test_never_gains_whatever_is_added(manifest: pd.DataFrame, share: float, seed: int) -> None:
    kept = manifest["isic_id"].isin(
        set(np.random.default_rng(seed).permutation(manifest["isic_id"])[: int(len(manifest) * share)])
    )
    first = manifest[kept]
    try:
        history = by_id(first, splits_of(first))
    except DataError:
        assume(False)
    frozen = {isic_id for isic_id, split in history.items() if split == "test"}
    placed = assign_splits(manifest, OPTIONS, history, frozen=frozen)
    after = by_id(manifest, placed["split"])
    assert {isic_id for isic_id, split in after.items() if split == "test"} == frozen
    assert {isic_id: after[isic_id] for isic_id in history} == history
    aside = placed[placed["split"] == QUARANTINED]
    assert (aside["reason"] == Reason.FROZEN).all()
    assert placed.loc[placed["split"] != QUARANTINED, "reason"].isna().all()
