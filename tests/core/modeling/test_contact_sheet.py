"""The contact sheet shows the feed's own images, in their places, and the same ones each time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesion_core.dataset.encoding import ShardWriter
from lesion_core.dataset.records import OpenDataset, shard_name
from lesion_core.modeling.feed.augment import draw
from lesion_core.modeling.feed.contact_sheet import N_DRAWN, write_contact_sheet
from lesion_core.modeling.feed.input import TrainingFeed
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef

SIDE, CLASSES = 32, [0, 1, 4]


@pytest.fixture
def feed(tmp_path: Path) -> TrainingFeed:
    pixels = np.random.default_rng(0).integers(0, 256, (len(CLASSES), SIDE, SIDE, 3)).astype(np.uint8)
    writer = ShardWriter(tmp_path / shard_name(0), len(CLASSES), SIDE)
    for row, one in enumerate(pixels):
        writer.put(row, one)
    writer.finish()
    places = np.arange(len(CLASSES), dtype=np.int32)
    rows = pd.DataFrame({"class_index": np.array(CLASSES, np.int8), "shard": 0, "row": places, "split": "train"})
    ref = DatasetRef(
        id="tiny/0", key="datasets/tiny/0", sha256="0" * 64, n_images=3, n_groups=3, size_px=SIDE, licence="CC-0",
        synthetic=True,
    )  # fmt: skip
    recipe = Recipe.model_validate(
        {
            "name": "t",
            "size_px": SIDE,
            "backbone": "tiny",
            "weights": "none",
            "augmentation": {"mixup": 1, "ink": 0.5},
        }
    )
    return TrainingFeed(OpenDataset(ref=ref, folder=tmp_path, rows=rows), rows, recipe)


def _has(sheet: np.ndarray, image: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], (SIDE, SIDE))
    here = np.argwhere((windows[:, :, 0, :8] == image[0, :8, 0]).all(axis=2))
    return any(np.array_equal(sheet[y : y + SIDE, x : x + SIDE], image) for y, x in here)


def test_every_cell_is_what_the_feed_gives(feed: TrainingFeed, tmp_path: Path) -> None:
    write_contact_sheet(feed, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    recorded = feed.dataset.pixels(feed.rows)
    columns = [recorded] + [
        feed.varied(recorded, feed.rows["class_index"].to_numpy(np.int64), draw(3, seed=7, epoch=epoch))[0]
        for epoch in range(N_DRAWN)
    ]
    assert all(_has(sheet, image) for column in columns for image in column)
    assert not _has(sheet, recorded[0][::-1])  # the search does refuse what is not there


def test_the_sheet_is_the_same_each_time_and_another_for_another_seed(feed: TrainingFeed, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_contact_sheet(feed, tmp_path / f"{name}.png")
    other = TrainingFeed(feed.dataset, feed.rows, feed.recipe.model_copy(update={"seed": 8}))
    write_contact_sheet(other, tmp_path / "c.png")
    first, again, changed = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == again
    assert first != changed
