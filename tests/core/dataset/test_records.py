"""An opened dataset: its rows, its pixels, and what it refuses."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lesion_core.dataset.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, read_table
from lesion_core.dataset.records import SPLITS_SCHEMA, OpenDataset
from lesion_core.errors import ConfigError, ManifestError
from lesion_core.images import Preprocessing, preprocess
from lesion_core.labels import SEX_ORDER, SITE_ORDER, class_index, code_of


def test_every_picture_s_pixels_are_those_of_its_own_file(dataset: OpenDataset) -> None:
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
    for picture, row in zip(manifest.itertuples(), dataset.rows.itertuples(), strict=True):
        assert picture.isic_id == row.isic_id
        assert class_index(picture.diagnosis) == row.class_index
        assert code_of(picture.sex if isinstance(picture.sex, str) else None, SEX_ORDER) == row.sex_code
        assert code_of(picture.site if isinstance(picture.site, str) else None, SITE_ORDER) == row.site_code
        np.testing.assert_equal(row.age_years, picture.age_years)
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
