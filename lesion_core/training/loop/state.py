"""Where a training stands, what of it goes into a checkpoint, and which epoch is the best so far."""

from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from lesion_core.training.loop.checkpoints import Checkpoint
from lesion_core.training.loop.logs import Position
from lesion_core.training.loop.optimizer import AdamW

HistoryRow = dict[str, float | int | str]

_SMOOTHED_EPOCHS = 3


@dataclass(slots=True)
class FitState:
    """Where a training stands; all of it goes into a checkpoint."""

    epoch: int = 0  # epochs finished, over all stages
    batch: int = 0  # steps finished in the current epoch
    n_steps: int = 0
    loss_sum: float = 0.0  # over the current epoch's steps
    seconds: float = 0.0  # spent in the current epoch's steps
    waiting_seconds: float = 0.0  # of them, for data
    spent_seconds: float = 0.0  # in the whole fitting, features and validation included, as of the last checkpoint
    best_score: float | None = None
    best_epoch: int = 0  # from 1
    wait: int = 0  # epochs since the best one
    stopped: bool = False
    history: list[HistoryRow] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)


def pack(state: FitState, model: keras.Model, optimizer: AdamW, stage: str, logs: Position) -> Checkpoint:
    """Return everything that the next step depends on.

    That is the position (the order of the data and its augmentation are functions of it), the scores, the weights
    and the random states of the dropout layers, and of the optimizer moments, average and loss scale; and how far
    the logs go.
    """
    facts = asdict(state)
    facts.pop("best_weights")
    arrays = {f"best/{i}": value for i, value in enumerate(state.best_weights)}
    arrays |= {f"model/{i}": value for i, value in enumerate(_values(model.variables))}
    arrays |= {f"optimizer/{i}": value for i, value in enumerate(_values(optimizer.state))}
    return Checkpoint(facts={"state": facts, "stage": stage, "logs": logs}, arrays=arrays)


def unpack_state(checkpoint: Checkpoint) -> FitState:
    """Return the state that ``pack`` put in."""
    state = FitState(**checkpoint.facts["state"])
    state.best_weights = _numbered(checkpoint, "best")
    return state


def restore_model(checkpoint: Checkpoint, model: keras.Model) -> None:
    """Put back the model's variables, those of its random generators included."""
    _assign(model.variables, _numbered(checkpoint, "model"))


def restore_optimizer(checkpoint: Checkpoint, optimizer: AdamW, stage: str) -> None:
    """Put back the optimizer's variables if the checkpoint was made in ``stage``; a new stage starts afresh."""
    if checkpoint.facts["stage"] == stage:
        _assign(optimizer.state, _numbered(checkpoint, "optimizer"))


def _values(variables: list[Any]) -> list[np.ndarray]:
    """Return copies: what a variable gives out may change with the next step."""
    raw = (variable.value if isinstance(variable, keras.Variable) else variable for variable in variables)
    return [np.array(variable.read_value()) for variable in raw]


def _numbered(checkpoint: Checkpoint, prefix: str) -> list[np.ndarray]:
    n = sum(name.startswith(f"{prefix}/") for name in checkpoint.arrays)
    return [checkpoint.arrays[f"{prefix}/{i}"] for i in range(n)]


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def smooth_score(state: FitState, stage: str, score: float) -> float:
    """Return the mean of ``score`` and of the balanced accuracies of up to two epochs before it in this stage.

    The epoch is chosen by this. With a handful of validation images in the rare classes a single epoch's
    balanced accuracy moves by a tenth and more for no reason, and the luckiest epoch is often an early one.
    """
    before = [float(row["val_balanced_accuracy"]) for row in state.history if row["stage"] == stage]
    return float(np.mean([*before[-(_SMOOTHED_EPOCHS - 1) :], score]))


def note_score(state: FitState, model: keras.Model, score: float, *, patience: int) -> None:
    """Keep the weights of the epoch just ended if it is the best so far, and decide about stopping.

    A score that is NaN (there was nothing to validate on) counts as better: the last epoch is kept then.
    """
    if state.best_score is None or np.isnan(score) or score > state.best_score:
        state.best_score, state.best_epoch, state.wait = score, state.epoch + 1, 0
        state.best_weights = _values(model.weights)
    else:
        state.wait += 1
        state.stopped = state.wait >= patience
