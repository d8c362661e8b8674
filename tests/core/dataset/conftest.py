"""A small prepared dataset."""

from pathlib import Path

import pytest

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import draw, encode, image_row, simple_images, store_snapshot

OPTIONS = PrepareOptions(name="small", size_px=32)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> OpenDataset:
    """Forty images: a lesion of two, a patient of two, identical bytes, and a mirrored copy."""
    place = tmp_path_factory.mktemp("dataset")
    images = simple_images(range(30))
    for number in (30, 31):
        data = encode(draw(number))
        images.append((image_row(number, data, lesion_id="IL_1"), data))
    for number in (32, 33):
        data = encode(draw(number))
        images.append((image_row(number, data, patient_id="IP_1"), data))
    same = encode(draw(34))
    images += [(image_row(number, same, age_years=None), same) for number in (34, 36)]
    for number, pixels in ((37, draw(37)), (39, draw(37)[:, ::-1])):
        data = encode(pixels)
        images.append((image_row(number, data, licence="CC-BY-NC"), data))
    store = LocalStore(place / "store")
    snapshot = store_snapshot(store, images, place / "snapshot")
    ref = prepare(snapshot, OPTIONS, store, workdir=place / "work")
    return open_dataset(store, ref, place / "cache")
