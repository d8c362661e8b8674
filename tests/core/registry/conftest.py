"""Stores with model versions in them, and a clock that stands still until it is read."""

import atexit
import datetime
import functools
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from lesion_core.keys import report_key
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.stores.s3 import S3Store
from tests.core.evaluation.worlds import make_dataset
from tests.core.registry.generations import Generations, make_generations
from tests.servers import S3Server, minio, rclone

__all__ = ["minio", "rclone"]

DATASET = DatasetRef(
    id="isic/00000000000d",
    key="datasets/isic/00000000000d",
    sha256="d" * 64,
    n_images=10,
    n_groups=8,
    size_px=64,
    licence="CC-BY",
    synthetic=True,
)


def make_model(
    store: Store, folder: Path, name: str, recipe: str = "quick", dataset: DatasetRef = DATASET
) -> ModelRef:
    """Publish a model version whose content is its name."""
    source = folder / f"source-{recipe}-{name}"
    source.mkdir(exist_ok=True)
    (source / "recipe.json").write_text(name)
    key = f"models/{recipe}/{name:0>12}"
    summary = {"recipe": recipe, "dataset": dataset.model_dump(mode="json"), "synthetic": True}
    return ref_from_folder(
        ModelRef, key, *publish(store, key, source, step="train", step_version=1, inputs={}, summary=summary)
    )


@functools.cache
def _certified() -> tuple[LocalStore, DatasetRef]:
    """A small certified dataset, made once."""
    place = Path(tempfile.mkdtemp(prefix="certified-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    store = LocalStore(place / "store")
    return store, make_dataset(store, place, n_images=84, name="certified", is_synthetic=True).ref


def provide_dataset(store: Store) -> DatasetRef:
    """Put a certified dataset into a store."""
    source, ref = _certified()
    for key in source.list(ref.key):
        store.write(key, source.read(key))
    return ref


def make_report(store: Store, folder: Path, model: ModelRef) -> ReportRef:
    """Publish a report on a model and its own dataset, of which only the reference is ever read."""
    source = folder / f"report-{model.id.replace('/', '-')}"
    source.mkdir(exist_ok=True)
    (source / "metrics.json").write_text("{}")
    key = report_key(model.id, model.sha256)
    summary = {
        "model": model.model_dump(mode="json"),
        "dataset": model.dataset.model_dump(mode="json"),
        "split": "test",
        "balanced_accuracy": 0.4,
        "balanced_accuracy_low": 0.3,
        "balanced_accuracy_high": 0.5,
        "chance": 0.125,
        "n_images": 10,
    }
    return ref_from_folder(
        ReportRef, key, *publish(store, key, source, step="evaluate", step_version=1, inputs={}, summary=summary)
    )


def ticking() -> Callable[[], datetime.datetime]:
    """A clock that goes on by a minute each time it is read."""
    now = datetime.datetime(2025, 3, 1, 12, tzinfo=datetime.UTC)

    def read() -> datetime.datetime:
        nonlocal now
        now += datetime.timedelta(minutes=1)
        return now

    return read


def s3_store(server: S3Server, prefix: str | None = None) -> S3Store:
    return S3Store(
        server.bucket,
        prefix or f"registry/{uuid.uuid4().hex}",
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


@pytest.fixture(params=["local", "minio"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store in which channels can move."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    return s3_store(request.getfixturevalue("minio"))


@pytest.fixture
def clock() -> Callable[[], datetime.datetime]:
    return ticking()


@pytest.fixture(scope="session")
def generations(tmp_path_factory: pytest.TempPathFactory) -> Generations:
    return make_generations(tmp_path_factory.mktemp("generations"))


@pytest.fixture
def filled(store: Store, generations: Generations) -> Store:
    """Both generations, in a local directory and in MinIO."""
    generations.fill(store)
    return store


@pytest.fixture
def local(tmp_path: Path, generations: Generations) -> LocalStore:
    store = LocalStore(tmp_path / "local")
    generations.fill(store)
    return store
