"""A training child that is killed again and again ends as one that was left alone: same steps, same bits.

LESION_TEST_KILLS says how often (2), LESION_TEST_SEED at which points (others in every run).
"""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from deployments.stack.waiting import wait_for
from lesion_core import jobs
from lesion_core.keys import id_of
from lesion_core.modeling.network.network import build_network
from lesion_core.modeling.network.saved import load_network
from lesion_core.progress import ignore_progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, ModelRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import materialise, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.training.job import run
from lesion_core.training.loop.logs import EVENTS_FILE, STEPS_FILE
from lesion_core.training.output_key import training_key
from lesion_core.training.spec import TrainJob

_EPOCHS, _BATCH, _CHECKPOINT_STEPS = (2, 4), 8, 3  # epochs of the head, and of all layers
_DECIDED = ["epoch", "stage", "step", "learning_rate", "loss", "val_balanced_accuracy", "selection_score"]


def _recipe(name: str, folder: Path) -> Recipe:
    """Everything at once that a resumed training could get wrong."""
    content = {
        "name": name, "size_px": 32, "backbone": "tiny", "weights": "none", "deterministic": True, "dropout": 0.3,
        "allow_absent_classes": True, "optimisation": {
            "head_epochs": _EPOCHS[0], "epochs": _EPOCHS[1], "batch_size": _BATCH,
            "checkpoint_steps": _CHECKPOINT_STEPS, "patience": 99, "ema_decay": 0.9, "rate_decay": 0.5,
            "unfreeze": 0.9, "batch_norm": "training",
        },
    }  # fmt: skip
    recipe = Recipe.model_validate(content)
    path = folder / "backbone.weights.h5"  # stands for pretrained weights, so that the frozen stage takes place
    if not path.exists():
        keras.utils.set_random_seed(3)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
            build_network(recipe).get_layer("backbone").save_weights(path)
    return recipe.model_copy(update={"weights": str(path)})


def _train(job: TrainJob, store: LocalStore, work: Path) -> ModelRef:
    """Train to the end in this process, which has loaded TensorFlow already: nobody kills it."""
    return run(json.loads(job.model_dump_json()), store=store, workdir=work, on_progress=ignore_progress)


def _kill(job: TrainJob, store: LocalStore, work: Path, *, after_checkpoint: int, delay_seconds: float) -> bool:
    """Start the child, kill it once it has written so many checkpoints; return whether it was there to be killed."""
    spec = work / "spec.json"
    spec.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "lesion_core.jobs", "train", str(spec)]
    environment = jobs._environment(LesionSettings(store=str(store.root), work=work))
    checkpoints = work / "training" / id_of(training_key(job)) / "checkpoint-0"
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        is_there = wait_for(
            lambda: max((int(path.stem) for path in checkpoints.glob("*.checkpoint")), default=0) >= after_checkpoint,
            seconds=600,
            is_hopeless=lambda: child.poll() is not None,
            pause_seconds=0.005,
        )
        if is_there is None:
            return False
        assert is_there
        time.sleep(delay_seconds)
        child.kill()
        return child.wait() == -signal.SIGKILL


# Keras 3.15 saves variables through a NumPy call that NumPy 2 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_training_killed_at_random_points_has_the_planned_steps_and_the_same_bits(
    store: LocalStore, dataset_ref: DatasetRef, tmp_path: Path
) -> None:
    n_kills = int(os.environ.get("LESION_TEST_KILLS", "2"))
    seed = int(os.environ.get("LESION_TEST_SEED", time.time_ns() % 2**32))
    print(f"LESION_TEST_SEED={seed}")  # shown with a failure, to repeat it
    rng = np.random.default_rng(seed)
    whole = _train(TrainJob(recipe=_recipe("alone", tmp_path), dataset=dataset_ref), store, tmp_path / "alone")
    n_steps = int(_table(store, whole, "history.csv")["step"].iloc[-1])
    n_train = int(
        (pd.read_parquet(io.BytesIO(read_file(store, dataset_ref, "splits.parquet")))["split"] == "train").sum()
    )
    assert n_steps == n_train // _BATCH * sum(_EPOCHS)

    job = TrainJob(recipe=_recipe("killed", tmp_path), dataset=dataset_ref)
    work = tmp_path / "killed"
    work.mkdir()
    points = np.sort(rng.choice(np.arange(1, n_steps // _CHECKPOINT_STEPS), n_kills, replace=False))
    killed = [
        _kill(job, store, work, after_checkpoint=int(point), delay_seconds=rng.uniform(0, 0.1)) for point in points
    ]
    assert sum(killed) >= n_kills - 1  # the last may come too late
    ref = _train(job, store, work)

    for model in (whole, ref):
        steps = _table(store, model, STEPS_FILE)
        assert steps["step"].tolist() == list(range(1, n_steps + 1))
        assert _logged_steps(store, model, "step/loss") == list(range(1, n_steps + 1))
        assert len(_logged_steps(store, model, "epoch/val_balanced_accuracy")) == sum(_EPOCHS)
    pd.testing.assert_frame_equal(_table(store, whole, STEPS_FILE), _table(store, ref, STEPS_FILE), check_exact=True)
    one, other = (_table(store, model, "history.csv")[_DECIDED] for model in (whole, ref))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert _digest(store, whole, tmp_path) == _digest(store, ref, tmp_path)


def _table(store: LocalStore, ref: ModelRef, name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(read_file(store, ref, name)))


def _digest(store: LocalStore, ref: ModelRef, cache: Path) -> str:
    """Return the sha256 of the weights' bytes: the file itself also holds times."""
    digest = hashlib.sha256()
    for weight in load_network(materialise(store, ref, cache) / "model.keras").weights:
        digest.update(np.asarray(weight).tobytes())
    return digest.hexdigest()


def _logged_steps(store: LocalStore, ref: ModelRef, tag: str) -> list[int]:
    """Return the steps at which TensorBoard's file has a value of this name, in the order of the file."""
    path = materialise(store, ref, Path(store.root).parent / "events") / EVENTS_FILE
    events = [tf.compat.v1.Event.FromString(raw.numpy()) for raw in tf.data.TFRecordDataset(str(path))]
    return [event.step for event in events for value in event.summary.value if value.tag == tag]
