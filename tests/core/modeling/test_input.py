"""Sampling shares, the order of an epoch, and batches that can be taken up in the middle."""

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion_core.dataset.encoding import ShardWriter
from lesion_core.dataset.records import OpenDataset, shard_name
from lesion_core.errors import ArtifactCorrupt
from lesion_core.labels import N_CLASSES
from lesion_core.modeling.feed.input import (
    TrainingFeed,
    epoch_order,
    evaluation_batches,
)
from lesion_core.recipes.class_shares import class_counts, class_quotas, shares_in_loss
from lesion_core.recipes.recipe import Recipe
from lesion_core.recipes.sections import Imbalance
from lesion_core.refs import DatasetRef

_counts = st.lists(st.integers(0, 400), min_size=N_CLASSES, max_size=N_CLASSES).filter(any)


@settings(max_examples=200, deadline=None)
@given(counts=_counts, power=st.floats(0, 1))
def test_quotas_fill_the_epoch_and_forget_no_class(counts: list[int], power: float) -> None:
    quotas = class_quotas(np.array(counts), power)
    assert quotas.sum() == sum(counts)
    assert ((quotas > 0) == (np.array(counts) > 0)).all()


@settings(max_examples=100, deadline=None)
@given(counts=_counts)
def test_power_0_shows_every_image_once_and_power_1_every_class_alike(counts: list[int]) -> None:
    assert class_quotas(np.array(counts), 0.0).tolist() == counts
    even = class_quotas(np.array(counts), 1.0)[np.array(counts) > 0]
    assert even.max() - even.min() <= 1


def test_shares_follow_the_square_root_at_one_half() -> None:
    labels = np.repeat([0, 1, 2], [900, 100, 1])
    prior = shares_in_loss(class_counts(labels), Imbalance(sampling_power=0.5))
    assert prior[:3] == pytest.approx(np.array([30, 10, 1]) / 41, abs=1e-3)
    assert prior[3:].sum() == 0
    order = epoch_order(labels, power=0.5, seed=1, epoch=0)
    assert class_counts(labels[order]) / len(labels) == pytest.approx(prior)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), epoch=st.integers(0, 20), power=st.floats(0, 1))
def test_the_order_is_a_pure_function_of_seed_and_epoch(seed: int, epoch: int, power: float) -> None:
    labels = np.repeat(np.arange(4), [40, 10, 3, 1])
    first = epoch_order(labels, power=power, seed=seed, epoch=epoch)
    assert np.array_equal(first, epoch_order(labels, power=power, seed=seed, epoch=epoch))
    assert not np.array_equal(first, epoch_order(labels, power=power, seed=seed, epoch=epoch + 1))
    assert not np.array_equal(first, epoch_order(labels, power=power, seed=seed + 1, epoch=epoch))


@settings(max_examples=30, deadline=None)
@given(power=st.floats(0, 1), n_epochs=st.integers(1, 12))
def test_over_the_epochs_the_images_of_a_class_get_equal_turns(power: float, n_epochs: int) -> None:
    labels = np.repeat(np.arange(3), [50, 7, 2])
    turns = np.zeros(len(labels), int)
    for epoch in range(n_epochs):
        np.add.at(turns, epoch_order(labels, power=power, seed=3, epoch=epoch), 1)
    for label in range(3):
        mine = turns[labels == label]
        assert mine.max() - mine.min() <= 1


@pytest.fixture
def dataset(tmp_path: Path) -> OpenDataset:
    rng = np.random.default_rng(0)
    for shard in range(2):
        pixels = rng.integers(0, 256, (10, 32, 32, 3)).astype(np.uint8)
        writer = ShardWriter(tmp_path / shard_name(shard), 10, 32)
        for row, one in enumerate(pixels):
            writer.put(row, one)
        writer.finish()
    rows = pd.DataFrame(
        {
            "isic_id": [f"ISIC_{i:07d}" for i in range(20)],
            "group": [f"g{i}" for i in range(20)],
            "split": "train",
            "class_index": np.array([0] * 12 + [1] * 6 + [2] * 2, np.int8),
            "age_years": np.array([np.nan, *range(20, 39)], np.float32),
            "sex_code": np.arange(20, dtype=np.int8) % 3,
            "site_code": np.arange(20, dtype=np.int8) % 9,
            "shard": np.repeat([0, 1], 10).astype(np.int32),
            "row": np.tile(np.arange(10), 2).astype(np.int32),
        }
    )
    ref = DatasetRef(
        id="tiny/0", key="datasets/tiny/0", sha256="0" * 64, n_images=20, n_groups=20, size_px=32, licence="CC-0",
        synthetic=True,
    )  # fmt: skip
    return OpenDataset(ref=ref, folder=tmp_path, rows=rows)


def _recipe(**changes: object) -> Recipe:
    base = {"name": "t", "size_px": 32, "backbone": "tiny", "weights": "none", "optimisation": {"batch_size": 6}}
    return Recipe.model_validate({**base, **changes})


def test_batches_carry_the_drawn_images_with_their_own_metadata(dataset: OpenDataset) -> None:
    still = {"flips": False} | dict.fromkeys(
        ("rotation_degrees", "zoom", "shift", "brightness", "contrast", "hue", "saturation"), 0
    )
    feed = TrainingFeed(dataset, dataset.split("train"), _recipe(augmentation=still))
    assert feed.steps_per_epoch == 3
    order = epoch_order(feed.rows["class_index"].to_numpy(), power=0.5, seed=7, epoch=2)
    batches = list(feed.batches(2))
    assert len(batches) == 3
    for number, (inputs, targets) in enumerate(batches):
        rows = feed.rows.iloc[order[number * 6 : number * 6 + 6]]
        assert np.array_equal(targets["labels"].numpy(), np.eye(8)[rows["class_index"]])
        assert np.array_equal(inputs["image"].numpy(), dataset.pixels(rows))
        assert np.array_equal(inputs["age_years"].numpy(), rows["age_years"], equal_nan=True)
        assert np.array_equal(inputs["sex_code"].numpy(), rows["sex_code"])
        assert np.array_equal(inputs["site_code"].numpy(), rows["site_code"])
        assert [inputs[name].dtype.name for name in ("image", "age_years", "sex_code")] == [
            "uint8", "float32", "int32",
        ]  # fmt: skip


def test_an_epoch_taken_up_in_the_middle_gives_the_same_augmented_batches(dataset: OpenDataset) -> None:
    feed = TrainingFeed(dataset, dataset.split("train"), _recipe())
    whole, rest = list(feed.batches(1)), list(feed.batches(1, first_batch=2))
    assert len(rest) == 1
    for name, value in whole[2][0].items():
        assert np.array_equal(value.numpy(), rest[0][0][name].numpy(), equal_nan=name == "age_years")
    other = list(feed.batches(2))
    assert not np.array_equal(whole[0][0]["image"].numpy(), other[0][0]["image"].numpy())


def test_evaluation_shows_every_row_once_unchanged(dataset: OpenDataset) -> None:
    rows = dataset.split("train")
    batches = list(evaluation_batches(dataset, rows, 8))
    assert [len(batch["image"]) for batch in batches] == [8, 8, 4]
    assert np.array_equal(np.concatenate([batch["image"] for batch in batches]), dataset.pixels(rows))


def test_a_record_that_changed_stops_the_epoch_by_name(dataset: OpenDataset) -> None:
    path = dataset.folder / shard_name(1)
    body = bytearray(path.read_bytes())
    body[5_000] ^= 1
    path.write_bytes(body)
    feed = TrainingFeed(dataset, dataset.split("train"), _recipe(imbalance={"sampling_power": 0.0}))
    two_epochs = itertools.chain(feed.batches(0), feed.batches(1))  # one leaves out what does not fill a batch
    with pytest.raises(ArtifactCorrupt, match=r"record 1 of .*shard-00001"):
        list(two_epochs)
    with pytest.raises(ArtifactCorrupt, match=r"record 1 of .*shard-00001"):
        list(evaluation_batches(dataset, dataset.rows, 8))


def test_nothing_to_evaluate_gives_no_batch(dataset: OpenDataset) -> None:
    assert list(evaluation_batches(dataset, dataset.rows.head(0), 8)) == []


def test_a_shuffled_epoch_reads_records_not_shards(tmp_path: Path) -> None:
    side, n_shards, n_rows = 128, 8, 40
    for shard in range(n_shards):
        writer = ShardWriter(tmp_path / shard_name(shard), n_rows, side)
        for row in range(n_rows):
            writer.put(row, np.full((side, side, 3), shard * n_rows + row, np.uint16).astype(np.uint8))
        writer.finish()
    places = np.random.default_rng(3).permutation(n_shards * n_rows)
    ref = DatasetRef(
        id="many/0", key="datasets/many/0", sha256="0" * 64, n_images=len(places), n_groups=1, size_px=side,
        licence="CC-0", synthetic=True,
    )  # fmt: skip
    opened = OpenDataset(ref=ref, folder=tmp_path, rows=pd.DataFrame())
    tracemalloc.start()
    for batch in np.split(places, 40):
        pixels = opened.records(batch // n_rows, batch % n_rows)
        assert np.array_equal(pixels[:, 0, 0, 0], batch.astype(np.uint8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * pixels.nbytes  # and not the 40 batches that the shards hold
