"""A store with two generations of everything, made by the real steps over HTTP; the models are hand-made.

The archive withdraws one image between the generations. Nobody has approved anything yet.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import open_dataset
from lesion_core.evaluation.job import run
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.isic.ingest.ingest import ingest
from lesion_core.isic.mirror.server import running_mirror
from lesion_core.isic.source import ArchiveSource
from lesion_core.progress import ignore_progress
from lesion_core.refs import DatasetRef, ModelRef, ReportRef, SnapshotRef
from lesion_core.registry.decisions import record_decision
from lesion_core.registry.verdicts import GateCheck, GateDecision
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from tests.core.evaluation.worlds import publish_model
from tests.core.isic.folders import MELANOMA, row, write_folder
from tests.undrawn import undrawn

N_IMAGES = 40
OPTIONS = PrepareOptions(name="small", size_px=32, test=0.4)


@dataclass(frozen=True)
class Generation:
    """What one run of the pipeline leaves."""

    snapshot: SnapshotRef
    dataset: DatasetRef
    model: ModelRef
    report: ReportRef


@dataclass(frozen=True)
class Generations:
    """Both, the image withdrawn between them (the old model was trained on it), and the folder they lie in."""

    root: Path
    old: Generation
    new: Generation
    withdrawn: str
    only_old: str

    def fill(self, store: Store) -> None:
        """Copy everything into an empty store."""
        if isinstance(store, LocalStore) and store.root is not None:
            shutil.copytree(self.root, store.root, dirs_exist_ok=True)
            return
        origin = LocalStore(self.root)
        for key in origin.list(""):
            store.write(key, origin.read(key))


def make_generations(place: Path) -> Generations:
    """Ingest, prepare, 'train' and 'evaluate' twice, the second time with other images."""
    store = LocalStore(place / "store")
    rows = [row(number, **(MELANOMA if number % 2 else {})) for number in range(N_IMAGES)]
    old = _generation(store, rows, place / "old", seed=1)
    splits = open_dataset(store, old.dataset, place / "cache").split("train")
    withdrawn, only_old = splits["isic_id"][0], splits["isic_id"][1]
    kept = [each for each in rows if each["isic_id"] not in (withdrawn, only_old)]
    new = _generation(store, [*kept, row(N_IMAGES)], place / "new", seed=2)
    return Generations(root=place / "store", old=old, new=new, withdrawn=str(withdrawn), only_old=str(only_old))


def _generation(store: LocalStore, rows: list[dict[str, str]], place: Path, *, seed: int) -> Generation:
    with running_mirror(write_folder(place / "archive", rows)) as url:
        snapshot = ingest(ArchiveSource(url=url), store, name="small")
    dataset = prepare(snapshot, OPTIONS, store, workdir=place / "work")
    model = publish_model(store, dataset, place, seed=seed)
    job = EvaluateJob(model=model, dataset=dataset, n_bootstrap=100, analyses=False)
    with undrawn():
        report = run(job.model_dump(mode="json"), store=store, workdir=place / "work", on_progress=ignore_progress)
    check = GateCheck(name="measured on the test split", passed=True, detail="-")
    record_decision(GateDecision(model=model, report_id=report.id, passed=True, checks=(check,)), store)
    return Generation(snapshot, dataset, model, report)
