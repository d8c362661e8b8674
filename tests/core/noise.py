"""A small dataset, made by the real preparation from coloured noise: the class is the colour."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesion_core.dataset.manifest import IMAGES_SCHEMA, write_table
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.keys import archive_key, digest_of, snapshot_key
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef, SnapshotRef
from lesion_core.stores.folders import publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder

# AK, VASC and SCC have no image at all.
COUNTS = {"MEL": 40, "NV": 60, "BCC": 30, "BKL": 30, "DF": 20}
_COLOURS = {
    "MEL": (60, 40, 40), "NV": (150, 100, 80), "BCC": (220, 170, 170), "BKL": (110, 110, 60), "DF": (180, 120, 180),
}  # fmt: skip
_SIDE = 40


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def dataset_ref(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> DatasetRef:
    work = tmp_path_factory.mktemp("prepare")
    rng = np.random.default_rng(11)
    names = [name for name, count in COUNTS.items() for _ in range(count)]
    rows = [_store_image(store, number, name, rng) for number, name in enumerate(names)]
    folder = work / "snapshot"
    folder.mkdir()
    write_table(pd.DataFrame(rows), IMAGES_SCHEMA, folder / "images.parquet")
    key = snapshot_key("noise", digest_of({"rows": len(rows)}))
    summary = {"n_images": len(rows), "n_excluded": 0, "licence": "CC-BY", "synthetic": True}
    index, sha256 = publish(store, key, folder, step="ingest", step_version=1, inputs={}, summary=summary)
    snapshot = ref_from_folder(SnapshotRef, key, index, sha256)
    return prepare(snapshot, PrepareOptions(name="noise", size_px=32), store, workdir=work)


@pytest.fixture(scope="session")
def dataset(store: LocalStore, dataset_ref: DatasetRef, tmp_path_factory: pytest.TempPathFactory) -> OpenDataset:
    return open_dataset(store, dataset_ref, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    """A recipe that trains in a second; keyword arguments change fields, those of sections by dict."""

    def make(**changes: object) -> Recipe:
        optimisation = {
            "epochs": 2,
            "head_epochs": 0,
            "batch_size": 16,
            "patience": 99,
            **dict(changes.pop("optimisation", {})),
        }  # type: ignore[call-overload]
        content = {
            "name": "tiny", "size_px": 32, "backbone": "tiny", "weights": "none", "dropout": 0.1,
            "allow_absent_classes": True, "optimisation": optimisation, **changes,
        }  # fmt: skip
        return Recipe.model_validate(content)

    return make


def _store_image(store: LocalStore, number: int, name: str, rng: np.random.Generator) -> dict[str, object]:
    blocks = np.kron(rng.normal(0, 35, (8, 8, 3)), np.ones((_SIDE // 8, _SIDE // 8, 1)))
    noise = rng.normal(0, 12, (_SIDE, _SIDE, 3))
    pixels = np.clip(np.array(_COLOURS[name]) + blocks + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    body = buffer.getvalue()
    sha256 = hashlib.sha256(body).hexdigest()
    isic_id = f"ISIC_{number:07d}"
    key = archive_key(isic_id, sha256, "png")
    store.write(key, body)
    return {
        "isic_id": isic_id, "sha256": sha256, "image_key": key, "n_bytes": len(body), "width": _SIDE,
        "height": _SIDE, "diagnosis": name, "age_years": None if number % 7 == 0 else 20.0 + number % 60,
        "sex": [None, "female", "male"][number % 3], "site": None, "lesion_id": f"IL_{number:07d}",
        "patient_id": None, "licence": "CC-BY", "attribution": f"clinic {number % 3}", "confirm_type": None,
        "is_synthetic": True, "etag": None, "raw_metadata": "{}",
    }  # fmt: skip
