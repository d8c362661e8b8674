"""Records: which encoding, how fast they are prepared, how fast they are read. ``python -m benchmarks.records``.

Three parts, each with a result file: ``encodings`` compares ways to keep the pixels; ``prepare`` compares the
preparation with the same decoder and scaling alone; ``reading`` compares the batches with what training consumes.
"""

import argparse
import io
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.encodings import Encoding, encodings
from benchmarks.measure import Comparison, compare, write_result
from benchmarks.photographs import found, generated, stored
from lesion_core.dataset.encoding import Shard, ShardWriter
from lesion_core.dataset.records import SHARD_ROWS, OpenDataset, shard_name
from lesion_core.dataset.shards import write_shards
from lesion_core.images import Preprocessing, preprocess
from lesion_core.progress import ignore_progress
from lesion_core.refs import DatasetRef

COMMAND = "python -m benchmarks.records"
SIDES = (128, 224)
LARGE = 500_000  # images, for the size of a large dataset
_RECIPES = Path(__file__).resolve().parents[1] / "deployments" / "recipes"
_ROUNDS = 5
_N_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure_encodings(archive: Path | None) -> None:
    """Write what each encoding costs in bytes, time and truth."""
    sources = {"generated": generated(32)}
    if archive is not None:
        sources = {"ISIC archive": found(archive, 80), **sources}
    rows = [
        {"images": name, "size_px": side, **_costs(encoding, images)}
        for name, files in sources.items()
        for side in SIDES
        for images in [[preprocess(body, Preprocessing(size_px=side), image_id=name) for body in files]]
        for encoding in encodings()
    ]
    header = ["images", "px", "encoding", "bytes", "of raw", f"{LARGE:,} images", "written/s", "read/s", "error"]
    table = {"header": header, "rows": [_encoding_cells(row) for row in rows]}
    write_result("records-encodings", _command("encodings", archive), {"encodings": rows, "table": table})


def measure_preparation(archive: Path | None) -> None:
    """Write how near the preparation comes to decoding and scaling alone, on threads and on processes."""
    n_images, results = 192, list[Comparison]()
    with tempfile.TemporaryDirectory() as folder:
        store, images = stored(generated(48), n_images, Path(folder) / "store")
        paths = [Path(folder) / "store" / key for key in images["image_key"]]
        spawn = multiprocessing.get_context("spawn")
        with ThreadPoolExecutor(_N_CORES) as threads, ProcessPoolExecutor(_N_CORES, spawn) as processes:
            for side in SIDES:
                places = (Path(folder) / f"{side}-{number}" for number in range(1_000_000))
                for name, pool in (("threads", threads), ("processes", processes)):
                    results.append(
                        compare(
                            f"prepared at {side} px",
                            f"decoded and scaled alone, {_N_CORES} {name}",
                            "images",
                            ours=lambda side=side, places=places: _prepare(store, images, side, next(places)),
                            theirs=lambda side=side, pool=pool: _bare(pool, paths, side),
                            rounds=_ROUNDS,
                        )
                    )
            results.append(_checking(Path(folder) / "128-0", lambda place: _prepare(store, images, 128, place)))
    write_result("records-prepare", _command("prepare", archive), _compared(results))


def measure_reading(archive: Path | None) -> None:
    """Write how many times faster batches are read than the smallest networks consume them."""
    from lesion_core.recipes.recipe import Recipe, read_recipe  # TensorFlow comes with the rest of this part

    demo = read_recipe(_RECIPES / "demo-synthetic.yaml").model_copy(update={"weights": "none"})
    tiny = Recipe.model_validate({**demo.model_dump(mode="json"), "name": "tiny", "backbone": "tiny"})
    strengths = dict.fromkeys(type(tiny.augmentation).model_fields, 0)
    plain = tiny.model_copy(update={"augmentation": type(tiny.augmentation)(**{**strengths, "flips": False})})
    with tempfile.TemporaryDirectory() as folder:
        dataset = random_dataset(Path(folder), 4 * SHARD_ROWS, tiny.size_px)
        read, varied = _feeding(dataset, plain), _feeding(dataset, tiny)
        for_tiny, for_demo = _training(dataset, tiny), _training(dataset, demo)
        cold = _cold_reading(dataset, tiny.optimisation.batch_size)
        steps = ("a training step of backbone 'tiny'", f"a training step of recipe '{demo.name}'")
        results = [
            compare("batches, shuffled", steps[0], "images", ours=read, theirs=for_tiny, rounds=_ROUNDS),
            compare("batches, shuffled", steps[1], "images", ours=read, theirs=for_demo, rounds=3),
            compare("batches, augmented", steps[1], "images", ours=varied, theirs=for_demo, rounds=3),
            compare("records, not in memory", steps[0], "images", ours=cold, theirs=for_tiny, rounds=_ROUNDS),
        ]
    write_result("records-reading", _command("reading", archive), _compared(results))


def _costs(encoding: Encoding, images: Sequence[np.ndarray]) -> dict[str, Any]:
    side, n_rounds = images[0].shape[0], 3
    with ThreadPoolExecutor(_N_CORES) as pool:
        bodies = list(pool.map(encoding.encode, images))
        decoded = [encoding.decode(body, side) for body in bodies]
        written = [_rate(pool, encoding.encode, images) for _ in range(n_rounds)]
        read = [_rate(pool, lambda body: encoding.decode(body, side), bodies) for _ in range(n_rounds)]
    errors = np.stack([np.abs(a.astype(np.int16) - b) for a, b in zip(images, decoded, strict=True)])
    return {
        "encoding": encoding.name,
        "bytes": statistics.mean(map(len, bodies)),
        "share": statistics.mean(map(len, bodies)) / (side * side * 3),
        "written_per_second": statistics.median(written),
        "read_per_second": statistics.median(read),
        "error_mean": float(errors.mean()),
        "error_max": int(errors.max()),
    }


def _rate(pool: Executor, work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    started = time.perf_counter()
    for _ in pool.map(work, items):
        pass
    return len(items) / (time.perf_counter() - started)


def _encoding_cells(row: dict[str, Any]) -> list[str]:
    error = f"{row['error_mean']:.1f} (at most {row['error_max']})" if row["error_max"] else "none"
    return [
        row["images"],
        str(row["size_px"]),
        row["encoding"],
        f"{row['bytes']:,.0f}",
        f"{row['share']:.2f}",
        f"{row['bytes'] * LARGE / 1e9:.1f} GB",
        f"{row['written_per_second']:,.0f}",
        f"{row['read_per_second']:,.0f}",
        error,
    ]


def _prepare(store: Any, images: pd.DataFrame, side: int, place: Path) -> float:
    started = time.perf_counter()
    size = Preprocessing(size_px=side)
    write_shards(store, images, size, place, thumbnails_folder=place / "thumbnails", on_progress=ignore_progress)
    return len(images) / (time.perf_counter() - started)


def _bare(pool: Executor, paths: Sequence[Path], side: int) -> float:
    started = time.perf_counter()
    for _ in pool.map(_decoded_alone, paths, [side] * len(paths), chunksize=8):
        pass
    return len(paths) / (time.perf_counter() - started)


def _decoded_alone(path: Path, side: int) -> int:
    """Decode and scale with Pillow as ``images`` does, and nothing else; return the bytes of the pixels."""
    image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)).nbytes


def _checking(place: Path, prepare: Callable[[Path], float]) -> Comparison:
    """A continued preparation reads and checks the shards that are there."""
    shard = Shard.open(place / shard_name(0), 128)
    numbers = iter(range(1_000_000))

    def check() -> float:
        started = time.perf_counter()
        shard.verify()
        return len(shard) / (time.perf_counter() - started)

    return compare(
        "checked in a continuation",
        "prepared at 128 px",
        "images",
        ours=check,
        theirs=lambda: prepare(place.with_name(f"again-{next(numbers)}")),
        rounds=3,
    )


def random_dataset(folder: Path, n_images: int, side: int) -> OpenDataset:
    """Write records of noise, all of them for training, and open them."""
    rng = np.random.default_rng(7)
    for number in range(n_images // SHARD_ROWS):
        writer = ShardWriter(folder / shard_name(number), SHARD_ROWS, side)
        for row in range(SHARD_ROWS):
            writer.put(row, rng.integers(0, 256, (side, side, 3), np.uint8))
        writer.finish()
    place = np.arange(n_images)
    columns = {"class_index": place % 8, "sex_code": place % 3, "site_code": place % 9, "age_years": place % 90}
    rows = pd.DataFrame({**columns, "shard": place // SHARD_ROWS, "row": place % SHARD_ROWS, "split": "train"})
    ref = DatasetRef(
        id="random/0", key="datasets/random/0", sha256="0" * 64, n_images=n_images, n_groups=n_images, size_px=side,
        licence="CC-0", synthetic=True,
    )  # fmt: skip
    return OpenDataset(ref=ref, folder=folder, rows=rows)


def _feeding(dataset: OpenDataset, recipe: Any) -> Callable[[], float]:
    from lesion_core.modeling.feed.input import TrainingFeed

    epochs = iter(range(1_000_000))

    def feed() -> float:
        batches = TrainingFeed(dataset, dataset.rows, recipe).batches(next(epochs))
        next(batches)  # the graph is traced
        return _counted((len(targets["labels"]) for _, targets in batches), seconds=2.0)

    return feed


def _training(dataset: OpenDataset, recipe: Any) -> Callable[[], float]:
    from lesion_core.modeling.feed.input import TrainingFeed
    from lesion_core.modeling.feed.losses import AdjustedCrossEntropy
    from lesion_core.modeling.network.network import build_network, unfreeze_backbone
    from lesion_core.training.loop.step import make_trainer

    model = build_network(recipe)
    unfreeze_backbone(model)
    loss = AdjustedCrossEntropy(np.zeros(8, np.float32), recipe.optimisation.label_smoothing)
    trainer = make_trainer(model, recipe, loss)
    inputs, targets = next(TrainingFeed(dataset, dataset.rows, recipe).batches(0))

    def consume() -> float:
        float(trainer.step(inputs, targets, 1e-3))  # traced in the first round
        steps = (
            len(targets["labels"]) for _ in range(10_000) if float(trainer.step(inputs, targets, 1e-3)) is not None
        )
        return _counted(steps, seconds=2.0)

    return consume


def _cold_reading(dataset: OpenDataset, batch_size: int) -> Callable[[], float]:
    """Read shuffled records of files that the system holds no more, as where a dataset exceeds the memory."""
    order = np.random.default_rng(3).permutation(len(dataset.rows))
    shards, places = dataset.rows["shard"].to_numpy()[order], dataset.rows["row"].to_numpy()[order]

    def read() -> float:
        for path in (dataset.folder / shard_name(0)).parent.iterdir():
            with path.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        starts = range(0, len(order), batch_size)
        batches = (slice(start, start + batch_size) for start in starts)
        return _counted((len(dataset.records(shards[here], places[here])) for here in batches), seconds=2.0)

    return read


def _counted(items: Iterable[int], *, seconds: float) -> float:
    """Return how much came per second, for at most so many seconds."""
    started, total = time.perf_counter(), 0
    for n in items:
        total += n
        if time.perf_counter() - started > seconds:
            break
    return total / (time.perf_counter() - started)


def _compared(results: Sequence[Comparison]) -> dict[str, Any]:
    rows = [result.row() for result in results]
    cells = [
        [
            row["what"],
            f"{row['ours_median']:,.0f}/s",
            row["peer"],
            f"{row['theirs_median']:,.0f}/s",
            f"{row['ratio_median']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})",
        ]
        for row in rows
    ]
    return {"comparisons": rows, "table": {"header": ["ours", "images", "peer", "images", "ratio"], "rows": cells}}


def _command(part: str, archive: Path | None) -> str:
    return f"{COMMAND} {part}" + (" --archive FOLDER" if archive is not None and part == "encodings" else "")


def main() -> None:
    """Measure what was asked for, or all of it."""
    parts = {"encodings": measure_encodings, "prepare": measure_preparation, "reading": measure_reading}
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="which part; all if none is named")
    parser.add_argument("--archive", type=Path, help="folder with JPEG files of the archive, for 'encodings'")
    arguments = parser.parse_args()
    for name in arguments.parts or parts:
        parts[name](arguments.archive)


if __name__ == "__main__":
    main()
