"""An opened dataset: its rows, its pixels, and what it refuses."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import SPLITS_SCHEMA, OpenDataset, open_dataset, shard_name
from lesion_core.errors import ArtifactCorrupt, ConfigError, ManifestError
from lesion_core.images import Preprocessing, preprocess
from lesion_core.labels import SEX_ORDER, SITE_ORDER, class_index, code_of
from lesion_core.refs import DatasetRef
from lesion_core.stores.local import LocalStore
from tests.core.dataset.conftest import OPTIONS
from tests.core.dataset.snapshots import simple_images, store_snapshot


def test_every_image_s_pixels_are_those_of_its_own_file(dataset: OpenDataset) -> None:
    manifest = read_table(dataset.folder / MANIFEST_NAME, MANIFEST_SCHEMA).set_index("isic_id")
    root = next(parent for parent in dataset.folder.parents if parent.name == "store")
    shuffled = dataset.rows.sample(frac=1, random_state=2)
    pixels = dataset.pixels(shuffled)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (len(shuffled), 32, 32, 3)
    for isic_id, record in zip(shuffled["isic_id"], pixels, strict=True):
        data = (root / manifest.loc[isic_id, "image_key"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == manifest.loc[isic_id, "sha256"]
        np.testing.assert_array_equal(record, preprocess(data, Preprocessing(size_px=32), image_id=isic_id))


def test_the_rows_carry_the_manifest_s_labels_and_metadata(dataset: OpenDataset) -> None:
    manifest = read_table(dataset.folder / MANIFEST_NAME, MANIFEST_SCHEMA)
    assert dataset.rows.columns.to_list() == SPLITS_SCHEMA.names
    for image, row in zip(manifest.itertuples(), dataset.rows.itertuples(), strict=True):
        assert image.isic_id == row.isic_id
        assert class_index(image.diagnosis) == row.class_index
        assert code_of(image.sex if isinstance(image.sex, str) else None, SEX_ORDER) == row.sex_code
        assert code_of(image.site if isinstance(image.site, str) else None, SITE_ORDER) == row.site_code
        np.testing.assert_equal(row.age_years, image.age_years)
    assert dataset.rows["age_years"].isna().sum() == 2
    dtypes = dataset.rows.dtypes.astype(str).to_dict()
    assert (dtypes["class_index"], dtypes["age_years"], dtypes["shard"]) == ("int8", "float32", "int32")


def test_splits_share_out_all_rows(dataset: OpenDataset) -> None:
    names = ("train", "validation", "calibration", "test", "quarantined")
    parts = [dataset.split(name) for name in names]
    assert sum(map(len, parts)) == len(dataset.rows)
    assert all(part.index.to_list() == list(range(len(part))) for part in parts)
    with pytest.raises(ConfigError, match="holdout"):
        dataset.split("holdout")


def test_no_rows_have_no_pixels(dataset: OpenDataset) -> None:
    assert dataset.pixels(dataset.rows.head(0)).shape == (0, 32, 32, 3)


def test_records_of_another_size_are_refused(dataset: OpenDataset) -> None:
    wrong = replace(dataset, ref=dataset.ref.model_copy(update={"size_px": 64}))
    with pytest.raises(ManifestError, match="64, 64, 3"):
        wrong.pixels(wrong.rows)


def test_a_missing_shard_is_refused(dataset: OpenDataset, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="shard-00000"):
        replace(dataset, folder=tmp_path).pixels(dataset.rows)


class Far(LocalStore):
    """A store without a directory of its own, so that datasets are copied to the cache."""

    @property
    def root(self) -> Path | None:
        return None


def flip(path: Path) -> bytes:
    """Flip one bit in the middle of a shard; return what it was."""
    whole = path.read_bytes()
    body = bytearray(whole)
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    return whole


@pytest.fixture
def far(tmp_path: Path) -> tuple[Far, DatasetRef]:
    store = Far(tmp_path / "store")
    snapshot = store_snapshot(store, simple_images(range(20)), tmp_path / "snapshot")
    return store, prepare(snapshot, OPTIONS, store, workdir=tmp_path / "work")


def test_a_flipped_bit_in_the_store_is_refused_by_name_when_opened(
    far: tuple[Far, DatasetRef], tmp_path: Path
) -> None:
    store, ref = far
    [stored] = (tmp_path / "store").glob(f"datasets/**/{shard_name(0)}")
    flip(stored)
    for place in (store, LocalStore(tmp_path / "store")):
        with pytest.raises(ArtifactCorrupt, match=r"shard-00000\.npy.*sha256"):
            open_dataset(place, ref, tmp_path / "cache")


def test_a_flipped_bit_in_a_copy_that_was_verified_is_refused_when_read_and_mended_when_opened(
    far: tuple[Far, DatasetRef], tmp_path: Path
) -> None:
    opened = open_dataset(*far, tmp_path / "cache")
    whole = flip(opened.folder / shard_name(0))
    with pytest.raises(ArtifactCorrupt, match=r"record \d+ of .*shard-00000\.npy.*open the dataset again"):
        opened.pixels(opened.rows)
    again = open_dataset(*far, tmp_path / "cache")
    assert (again.folder / shard_name(0)).read_bytes() == whole
    assert len(again.pixels(again.rows)) == 20


def test_a_copy_cut_short_while_it_is_open_is_refused(far: tuple[Far, DatasetRef], tmp_path: Path) -> None:
    opened = open_dataset(*far, tmp_path / "cache")
    opened.pixels(opened.rows.head(1))
    with (opened.folder / shard_name(0)).open("r+b") as stream:
        stream.truncate(5_000)
    with pytest.raises(ManifestError, match="ends within a record"):
        opened.pixels(opened.rows)
