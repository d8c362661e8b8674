"""The table of images: everything outside its schema is refused by column and row."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesion_core.dataset.manifest import MANIFEST_SCHEMA, parse_images, read_images, read_table, write_manifest
from lesion_core.dataset.splitting.groups import group_images
from lesion_core.errors import ManifestError
from lesion_core.isic.snapshot import IMAGES_SCHEMA
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import frame, image_row, simple_images, store_snapshot


def parquet(rows: list[dict[str, Any]]) -> bytes:
    nullable = pa.schema([pa.field(field.name, field.type) for field in IMAGES_SCHEMA])
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=nullable), stream)
    return stream.getvalue()


def rows(**changes: Any) -> list[dict[str, Any]]:
    return [image_row(0, b"0"), image_row(1, b"1", **changes), image_row(2, b"2")]


def test_a_snapshot_s_table_is_read_sorted(store: LocalStore, tmp_path: Path) -> None:
    snapshot = store_snapshot(store, reversed(simple_images(range(3))), tmp_path / "snapshot")
    images = read_images(store, snapshot)
    assert images["isic_id"].to_list() == ["ISIC_0000000", "ISIC_0000001", "ISIC_0000002"]
    assert images["age_years"].dtype == "float32"
    assert images["lesion_id"].isna().all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"isic_id": "ISIC_0000000"}, "each image once"),
        ({"isic_id": None}, "a value in every row"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"n_bytes": 0}, "a positive number"),
        ({"width": -1}, "a positive number"),
        ({"diagnosis": None}, "a value in every row"),
        ({"diagnosis": "Nevus"}, "one of MEL, NV"),
        ({"sex": "F"}, "one of female, male"),
        ({"site": "scalp"}, "one of anterior torso"),
        ({"licence": "GPL"}, "one of CC-0"),
        ({"age_years": 130.0}, "0 to 120 years"),
        ({"age_years": -1.0}, "0 to 120 years"),
        ({"isic_id": "unknown"}, "an id"),
        ({"is_synthetic": None}, "a value in every row"),
    ],
)
def test_a_wrong_value_is_refused_by_column(change: dict[str, Any], words: str) -> None:
    body = parquet([{**row, **(change if number == 1 else {})} for number, row in enumerate(rows())])
    with pytest.raises(ManifestError, match=words) as caught:
        parse_images(body, source="snapshots/x")
    assert caught.value.field == next(iter(change))
    assert "snapshots/x" in str(caught.value)


def test_unknown_values_are_no_fault() -> None:
    unknown: dict[str, Any] = dict.fromkeys(("age_years", "sex", "site", "lesion_id", "patient_id", "confirm_type"))
    assert parse_images(parquet(rows(**unknown)), source="x")["sex"].isna().sum() >= 1


@pytest.mark.parametrize("name", ["lesion_id", "patient_id"])
@pytest.mark.parametrize("value", ["", "NaN", " unknown ", "0", "NA", "-1"])
def test_a_placeholder_in_an_older_snapshot_is_a_missing_id(
    name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = parse_images(parquet([{**row, name: value} for row in rows()]), source="snapshots/x")
    assert images[name].isna().all()
    assert f"{name} in 3 images of snapshots/x is a placeholder ({value!r}), not an id" in caplog.text
    assert group_images(images).nunique() == 3


def test_an_empty_table_and_no_table_are_refused() -> None:
    with pytest.raises(ManifestError, match="got none"):
        parse_images(parquet([]), source="x")
    with pytest.raises(ManifestError, match="expected a table of images"):
        parse_images(b"PAR1 not really", source="x")


def test_a_missing_column_is_named() -> None:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows()).drop_columns(["sha256"]), stream)
    with pytest.raises(ManifestError, match="lacks the columns sha256"):
        parse_images(stream.getvalue(), source="x")


def test_a_manifest_keeps_every_value(tmp_path: Path) -> None:
    images = frame(rows(age_years=None)).assign(source="clinic", group=["a", "b", "c"])
    write_manifest(images, tmp_path / "manifest.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "manifest.parquet", MANIFEST_SCHEMA), images)


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="group"):
        write_manifest(frame(rows()), tmp_path / "manifest.parquet")
    pq.write_table(pa.table({"isic_id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(ManifestError, match="got isic_id"):
        read_table(tmp_path / "other.parquet", MANIFEST_SCHEMA)
    with pytest.raises(ManifestError, match="expected a table in"):
        read_table(tmp_path / "nothing.parquet", MANIFEST_SCHEMA)
