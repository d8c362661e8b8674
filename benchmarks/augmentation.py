"""Augmented batches per second: ``python -m benchmarks.augmentation [--torch PYTHON]``.

Ours goes from records, through the feed that training uses, with the default strengths. The peers read JPEG files of
the very same images and sizes from class folders and change them as strongly: ``image_dataset_from_directory`` with
Keras' layers, and, where ``--torch`` names an interpreter that has torch and torchvision, a ``DataLoader`` with two
workers. Each runs in turn in this process, torch in a child, on the same cores.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.measure import Comparison, compare, write_result
from benchmarks.photographs import generated
from lesion_core.dataset.encoding import ShardWriter
from lesion_core.dataset.records import SHARD_ROWS, OpenDataset, shard_name
from lesion_core.images import Preprocessing, preprocess
from lesion_core.modeling.feed.input import TrainingFeed
from lesion_core.recipes.recipe import Recipe
from lesion_core.recipes.sections import Augmentation
from lesion_core.refs import DatasetRef

COMMAND = "python -m benchmarks.augmentation"
SIDES = (128, 224)
BATCH, SECONDS, ROUNDS = 32, 3.0, 3
N_SAMPLES, N_IMAGES = 256, 4 * SHARD_ROWS
OVERLAYS = dict.fromkeys(("cutout", "dark_corners", "ink", "rulers", "hairs"), 0.25)
EVERYTHING = Augmentation(**OVERLAYS, mixup=0.2, cutmix=1.0)
Rate = Callable[[], float]


def measure(side: int, folder: Path, torch: Path | None) -> list[Comparison]:
    """Return ours against each peer, and everything on against the default strengths."""
    images = [preprocess(body, Preprocessing(size_px=side), image_id="x") for body in generated(N_SAMPLES)]
    dataset, files = _recorded(images, folder / f"records-{side}", side), folder / f"files-{side}"
    _write_files(images, files)
    ours, size = _feed(dataset, Augmentation()), f"{side} px"
    results = [
        compare(
            f"records, default augmentation, {size}", "image_dataset_from_directory, Keras layers", "images",
            ours=ours, theirs=_keras_feed(files, side), rounds=ROUNDS,
        )
    ]  # fmt: skip
    if torch is not None:
        peer = "torch DataLoader, 2 workers, torchvision"
        theirs = _torch_feed(torch, files)
        results.append(
            compare(f"records, default augmentation, {size}", peer, "images", ours=ours, theirs=theirs, rounds=ROUNDS)
        )
    everything = f"every overlay at 0.25, mixup, cutmix, {size}"
    theirs = _feed(dataset, EVERYTHING)
    return [
        *results,
        compare(everything, "ours, default", "images", ours=theirs, theirs=ours, rounds=ROUNDS),
    ]


def _recorded(images: list[np.ndarray], folder: Path, side: int) -> OpenDataset:
    for number in range(N_IMAGES // SHARD_ROWS):
        writer = ShardWriter(folder / shard_name(number), SHARD_ROWS, side)
        for row in range(SHARD_ROWS):
            writer.put(row, images[(number * SHARD_ROWS + row) % len(images)])
        writer.finish()
    place = np.arange(N_IMAGES)
    columns = {"class_index": place % 8, "sex_code": place % 3, "site_code": place % 9, "age_years": place % 90}
    rows = pd.DataFrame({**columns, "shard": place // SHARD_ROWS, "row": place % SHARD_ROWS, "split": "train"})
    ref = DatasetRef(
        id="measured/0", key="datasets/measured/0", sha256="0" * 64, n_images=N_IMAGES, n_groups=N_IMAGES,
        size_px=side, licence="CC-0", synthetic=True,
    )  # fmt: skip
    return OpenDataset(ref=ref, folder=folder, rows=rows)


def _write_files(images: list[np.ndarray], folder: Path) -> None:
    for number in range(N_IMAGES):
        path = folder / str(number % 8) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number % len(images)]).save(path, quality=95)


def _feed(dataset: OpenDataset, augmentation: Augmentation) -> Rate:
    recipe = Recipe(
        name="measured", size_px=dataset.ref.size_px, backbone="tiny", weights="none", augmentation=augmentation
    )
    epochs = iter(range(1_000_000))

    def batches() -> Iterator[int]:
        while True:
            feed = TrainingFeed(dataset, dataset.rows, recipe)
            yield from (len(targets["labels"]) for _, targets in feed.batches(next(epochs)))

    return lambda: _rate(batches())


def _keras_feed(files: Path, side: int) -> Rate:
    import tensorflow as tf

    strength, layers = Augmentation(), keras.layers
    full = (0, 255)
    change = keras.Sequential(
        [
            layers.RandomFlip(),
            layers.RandomRotation(strength.rotation_degrees / 360, fill_mode="reflect"),
            layers.RandomZoom(strength.zoom, fill_mode="reflect"),
            layers.RandomTranslation(strength.shift, strength.shift, fill_mode="reflect"),
            layers.RandomBrightness(strength.brightness, value_range=full),
            layers.RandomContrast(strength.contrast, value_range=full),
            layers.RandomHue(strength.hue, value_range=full),
            layers.RandomSaturation(  # of whose scale the middle changes nothing
                (0.5 - strength.saturation / 2, 0.5 + strength.saturation / 2), value_range=full
            ),
        ]
    )
    source = keras.utils.image_dataset_from_directory(
        files, image_size=(side, side), batch_size=BATCH, shuffle=True, seed=7, verbose=False
    )
    varied = source.map(
        lambda images, labels: (change(images, training=True), labels), num_parallel_calls=tf.data.AUTOTUNE
    ).prefetch(tf.data.AUTOTUNE)
    return lambda: _rate(len(labels) for _, labels in varied.repeat())


def _torch_feed(python: Path, files: Path) -> Rate:
    script = Path(__file__).with_name("augmentation_torch.py")
    command = [str(python), str(script), str(files), str(SECONDS)]

    def run() -> float:
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return run


def _rate(batches: Iterator[int]) -> float:
    """Return images per second over ``SECONDS``, after the first batches, which start everything."""
    for _ in range(4):
        next(batches)
    started, total = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        total += next(batches)
    return total / (time.perf_counter() - started)


def _table(results: list[Comparison]) -> dict[str, Any]:
    rows = [result.row() for result in results]
    cells = [
        [
            row["what"], f"{row['ours_median']:,.0f}/s", row["peer"], f"{row['theirs_median']:,.0f}/s",
            f"{row['ratio_median']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})",
        ]
        for row in rows
    ]  # fmt: skip
    return {"comparisons": rows, "table": {"header": ["ours", "images", "peer", "images", "ratio"], "rows": cells}}


def main() -> None:
    """Measure at both sizes and keep the result."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--torch", type=Path, help="an interpreter that has torch and torchvision")
    torch = parser.parse_args().torch
    with tempfile.TemporaryDirectory() as folder:
        results = [result for side in SIDES for result in measure(side, Path(folder), torch)]
    write_result("augmentation", COMMAND + (" --torch PYTHON" if torch else ""), _table(results))


if __name__ == "__main__":
    main()
