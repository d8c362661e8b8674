"""Training steps per second: the whole product against a bare ``model.fit``. ``python -m benchmarks.training``.

Ours reads records, varies them, and trains with everything that a training has beside its steps: logs, news,
checkpoints by the clock. The peer is Keras' own ``fit`` on the same network with the same layers frozen, the same
batch, optimizer and clip, fed from memory without augmentation. Each measurement is a process of its own; its first
epoch, in which graphs are traced, does not count. Validation is left out of both.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measure import compare, write_result
from lesion_core.dataset.records import SHARD_ROWS, OpenDataset
from lesion_core.refs import DatasetRef

COMMAND = "python -m benchmarks.training"
_EPOCHS = 2
_ROWS, _REF = "rows.parquet", "ref.json"


def main() -> None:
    """Measure, or be one of the processes measured."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2 * SHARD_ROWS, help=f"a multiple of {SHARD_ROWS}")
    parser.add_argument("--backbone", default="efficientnet-lite0")
    parser.add_argument("--size", type=int, default=128, help="pixels along a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--averaged", action="store_true", help="with an average of the weights, which the peer has not"
    )
    parser.add_argument("--measure", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measured = _ours(arguments) if arguments.measure == "ours" else _theirs(arguments)
        print(json.dumps(measured))
    else:
        _compare(arguments)


def _compare(arguments: argparse.Namespace) -> None:
    waiting: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        _make_dataset(Path(folder), arguments.images, arguments.size)

        def run(side: str) -> Callable[[], float]:
            def measure() -> float:
                measured = _in_a_process(side, Path(folder), arguments)
                if side == "ours":
                    waiting.append(measured["waiting_share"])
                return float(measured["steps_per_second"])

            return measure

        result = compare(
            f"{arguments.backbone}, {arguments.size} px, batch {arguments.batch}, records to weights",
            "bare model.fit from memory, not augmented",
            "steps",
            ours=run("ours"),
            theirs=run("theirs"),
            rounds=arguments.rounds,
            warm_up=False,
        ).row()
    cells = [
        result["what"],
        f"{result['ours_median']:.2f}/s",
        result["peer"],
        f"{result['theirs_median']:.2f}/s",
        f"{result['ratio_median']:.2f} ({result['ratio_min']:.2f} to {result['ratio_max']:.2f})",
        f"{100 * statistics.median(waiting):.1f} %",
    ]
    header = ["ours", "steps", "peer", "steps", "ratio", "waiting for data"]
    content = {"comparison": result, "waiting_shares": waiting, "table": {"header": header, "rows": [cells]}}
    print(write_result("training-steps", _command(arguments), content))
    print(*cells, sep=" | ")


def _command(arguments: argparse.Namespace) -> str:
    return " ".join([COMMAND, *_options(arguments), f"--rounds {arguments.rounds}"])


def _options(arguments: argparse.Namespace) -> list[str]:
    named = {name: getattr(arguments, name) for name in ("images", "backbone", "size", "batch")}
    flags = ["--averaged"] if arguments.averaged else []
    return [*(f"--{name}={value}" for name, value in named.items()), *flags]


def _in_a_process(side: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.training", "--measure", side, "--folder", str(folder)]
    done = subprocess.run([*command, *_options(arguments)], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _make_dataset(folder: Path, n_images: int, side: int) -> None:
    from benchmarks.records import random_dataset

    dataset = random_dataset(folder, n_images, side)
    dataset.rows.to_parquet(folder / _ROWS)
    (folder / _REF).write_text(dataset.ref.model_dump_json())


def _open(folder: Path) -> OpenDataset:
    ref = DatasetRef.model_validate_json((folder / _REF).read_text())
    return OpenDataset(ref=ref, folder=folder, rows=pd.read_parquet(folder / _ROWS))


def _recipe(arguments: argparse.Namespace) -> Any:
    from lesion_core.recipes.recipe import Recipe

    optimisation = {"head_epochs": 0, "epochs": _EPOCHS, "batch_size": arguments.batch}
    if arguments.averaged:
        optimisation["ema_decay"] = 0.999
    weights = "none" if arguments.backbone == "tiny" else "imagenet"
    return Recipe(
        name="speed", size_px=arguments.size, backbone=arguments.backbone, weights=weights, optimisation=optimisation
    )  # type: ignore[arg-type, unused-ignore]


def _ours(arguments: argparse.Namespace) -> dict[str, float]:
    from lesion_core.modeling.network.network import build_network
    from lesion_core.training.devices import make_strategy, set_up
    from lesion_core.training.loop.fit import fit

    recipe = _recipe(arguments)
    set_up(recipe)
    with make_strategy(recipe).scope(), tempfile.TemporaryDirectory() as checkpoints:
        result = fit(build_network(recipe), recipe, _open(arguments.folder), checkpoints=Path(checkpoints))
    last, before = result.history[-1], result.history[-2]
    n_steps = float(last["step"]) - float(before["step"])
    seconds = float(last["seconds"])
    return {"steps_per_second": n_steps / seconds, "waiting_share": float(last["waiting_share"])}


def _theirs(arguments: argparse.Namespace) -> dict[str, float]:
    import keras

    from lesion_core.modeling.feed.input import model_inputs
    from lesion_core.modeling.network.network import build_network
    from lesion_core.training.devices import set_up
    from lesion_core.training.loop.layers import release

    recipe, dataset = _recipe(arguments), _open(arguments.folder)
    optimisation = recipe.optimisation
    set_up(recipe)
    network = build_network(recipe)
    release(network, recipe)
    model = keras.Model(network.input, network.output["logits"])
    optimizer = keras.optimizers.AdamW(
        optimisation.learning_rate,
        weight_decay=optimisation.weight_decay,
        global_clipnorm=optimisation.gradient_clip,
    )
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=optimisation.label_smoothing)
    model.compile(optimizer, loss, jit_compile=False)  # compiled with XLA it is several times slower on a processor
    labels = keras.utils.to_categorical(dataset.rows["class_index"], 8)
    n_steps = len(dataset.rows) // arguments.batch
    n_images = n_steps * arguments.batch
    inputs = {name: values[:n_images] for name, values in model_inputs(dataset, dataset.rows).items()}
    ends: list[float] = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    model.fit(inputs, labels[:n_images], batch_size=arguments.batch, epochs=_EPOCHS, verbose=0, callbacks=[watch])
    return {"steps_per_second": n_steps / (ends[-1] - ends[-2])}


if __name__ == "__main__":
    main()
