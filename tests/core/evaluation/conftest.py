"""One small store with a dataset and a model, and the report on it; never changed by a test."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.evaluation.job import run
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.progress import Progress
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.stores.local import LocalStore
from tests.core.evaluation.worlds import make_dataset, publish_model


@dataclass(frozen=True)
class Evaluated:
    place: Path
    store: LocalStore
    dataset: OpenDataset
    model: ModelRef
    report: ReportRef
    progress: list[Progress]


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    place = tmp_path_factory.mktemp("evaluated")
    store = LocalStore(place / "store")
    dataset = make_dataset(store, place, licence="CC-BY")
    model = publish_model(store, dataset.ref, place)
    progress: list[Progress] = []
    job = EvaluateJob(model=model, dataset=dataset.ref, n_bootstrap=200)
    report = run(job.model_dump(mode="json"), store=store, workdir=place / "work", on_progress=progress.append)
    return Evaluated(place, store, dataset, model, report, progress)
