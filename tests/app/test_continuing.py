"""What a rerun says that it goes on from, after a stop in each stage."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from deployments.continuing import find_continuation
from lesion_core.dataset import prepare as preparing
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.listing.listing import list_archive
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.progress import Progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.stores.local import LocalStore
from lesion_core.synthetic.archive import write_archive
from lesion_core.training.loop.checkpoints import Checkpoint, write_checkpoint
from lesion_core.training.loop.state import FitState
from lesion_core.training.resuming import find_resume_point, member_checkpoints, training_scratch
from lesion_core.training.spec import TrainJob

RECIPE = Recipe.model_validate(
    {
        "name": "tiny", "dataset": "small", "size_px": 32, "backbone": "tiny", "weights": "none",
        "allow_absent_classes": True, "optimisation": {"epochs": 8, "head_epochs": 0, "batch_size": 16},
    }
)  # fmt: skip
OPTIONS = PrepareOptions().for_recipe("small", 32, "none")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("archive") / "synthetic"
    write_archive(folder, n_images=160)
    with running_mirror(folder) as url:
        yield url


@dataclass
class Rerun:
    """A pipeline that is stopped here and there, and what it says when it is started again."""

    source: ArchiveSource
    store: LocalStore
    work: Path

    def says(self, **changes: object) -> str:
        return find_continuation(self.source.model_copy(update=changes), RECIPE, self.store, self.work)


@pytest.fixture
def rerun(url: str, tmp_path: Path) -> Rerun:
    return Rerun(ArchiveSource(url=url, tolerance=0.05), LocalStore(tmp_path / "store"), tmp_path / "work")


class _Stopped(Exception):
    pass


def _stop(stage: str):  # type: ignore[no-untyped-def]
    def tell(news: Progress) -> None:
        if news.stage == stage:
            raise _Stopped

    return tell


def test_a_first_run_says_nothing(rerun: Rerun) -> None:
    assert rerun.says() == ""


def test_after_a_stop_in_the_transfer(rerun: Rerun) -> None:
    list_archive(rerun.source, rerun.store, name="small")
    rerun.store.write("archive/ISIC_0000001/a.jpg", b"one")
    assert rerun.says() == ("the archive's list is in the store, images so far: 1; only what is missing is asked for")
    assert rerun.says(limit=20) == ""  # another question: nothing of it is known


def test_after_a_stop_in_each_later_stage(rerun: Rerun, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = ingest(rerun.source, rerun.store, name="small")
    images = f"the {snapshot.n_images:,} images"
    assert rerun.says() == f"{images} are in the store"
    assert rerun.says(limit=20) == ""

    with pytest.raises(_Stopped):
        prepare(snapshot, OPTIONS, rerun.store, workdir=rerun.work, on_progress=_stop("near-duplicates"))
    assert rerun.says() == (
        f"{images} are in the store; records of {snapshot.n_images:,} of {snapshot.n_images:,} images are made, and "
        "preparation goes on from there"
    )

    dataset = prepare(snapshot, OPTIONS, rerun.store, workdir=rerun.work)
    known = f"{images} and dataset {dataset.id} are in the store"
    assert rerun.says() == known

    job = TrainJob(recipe=RECIPE, dataset=dataset)
    facts = asdict(FitState(epoch=2, batch=1, n_steps=13))
    facts.pop("best_weights")
    checkpoint = Checkpoint({"state": facts, "stage": "all", "logs": [0, 0]}, {"model/0": np.zeros(3)})
    write_checkpoint(member_checkpoints(training_scratch(job, rerun.work), 0), checkpoint)
    found = find_resume_point(job, rerun.store, rerun.work)
    assert found is not None
    assert rerun.says() == (
        f"{known}; training resumes from the checkpoint at epoch 3 of 8 (step 13 of {found.n_steps:,})"
    )
    monkeypatch.setattr(preparing, "STEP_VERSION", 99)  # the step changed: its old output is of no use
    assert rerun.says() == f"{images} are in the store"
