"""How far an interrupted training came, read from its checkpoints without TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lesion_core.keys import id_of
from lesion_core.lineage.exposure import read_splits
from lesion_core.stores.protocol import Store
from lesion_core.training.loop.checkpoints import Checkpoint, read_checkpoint
from lesion_core.training.output_key import training_key
from lesion_core.training.plan import make_plan
from lesion_core.training.spec import TrainJob


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a training goes on.

    Attributes:
        member: Which of the networks that are averaged, from 1.
        n_members: How many there are.
        epoch: The epoch that is in hand, from 1, over all stages.
        n_epochs: Epochs of all stages.
        step: Steps that are done, of this network.
        n_steps: Steps of all epochs.
        is_finished: Whether this network's training is over, so that only the model has to be written.
    """

    member: int
    n_members: int
    epoch: int
    n_epochs: int
    step: int
    n_steps: int
    is_finished: bool

    def in_words(self) -> str:
        """Return the position as a part of a sentence."""
        network = "" if self.n_members == 1 else f"network {self.member} of {self.n_members}, "
        position = f"{network}epoch {self.epoch} of {self.n_epochs} (step {self.step:,} of {self.n_steps:,})"
        return f"the end of {position}" if self.is_finished else position


def training_scratch(job: TrainJob, workdir: Path) -> Path:
    """Return the folder of a training's checkpoints and unfinished files on this machine."""
    return workdir / "training" / id_of(training_key(job))


def member_checkpoints(scratch: Path, number: int) -> Path:
    """Return the folder of the checkpoints of one network, from 0."""
    return scratch / f"checkpoint-{number}"


def find_resume_point(job: TrainJob, store: Store, workdir: Path) -> ResumePoint | None:
    """Return where ``job`` would go on after an interruption; ``None`` where it would begin.

    Raises:
        ConfigError: The recipe names a weights file that cannot be read, or does not fit its dataset.
        ArtifactNotFound: The dataset is not in the store.
        ArtifactCorrupt: Its table of splits is not the one that was published.
    """
    scratch = training_scratch(job, workdir)
    for number in reversed(range(job.recipe.ensemble_size)):
        if (checkpoint := read_checkpoint(member_checkpoints(scratch, number))) is not None:
            return _resume_point(checkpoint, job, number, _train_rows(job, store))
    return None


def _resume_point(checkpoint: Checkpoint, job: TrainJob, number: int, rows: pd.DataFrame) -> ResumePoint:
    plan, state = make_plan(job.recipe, rows, is_tuning=job.start_from is not None), checkpoint.facts["state"]
    is_finished = bool(state["stopped"]) or state["epoch"] >= plan.n_epochs
    return ResumePoint(
        member=number + 1,
        n_members=job.recipe.ensemble_size,
        epoch=state["epoch"] if is_finished else state["epoch"] + 1,
        n_epochs=plan.n_epochs,
        step=state["n_steps"],
        n_steps=plan.n_steps,
        is_finished=is_finished,
    )


def _train_rows(job: TrainJob, store: Store) -> pd.DataFrame:
    rows = read_splits(store, job.dataset, fold=job.fold)
    return rows[rows["split"] == "train"]
