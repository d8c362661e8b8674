"""Scoring a folder: one row per image, whatever it is."""

import datetime
from pathlib import Path

import pandas as pd
import pytest

from deployments.scoring import score
from lesion_core.errors import ConfigError, ModelNotReady
from lesion_core.labels import CLASS_ORDER
from lesion_core.registry.channels import move_channel
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from tests.model_folders import publish_model


def now() -> datetime.datetime:
    return datetime.datetime(2026, 3, 4, tzinfo=datetime.UTC)


@pytest.fixture
def settings(tmp_path: Path) -> LesionSettings:
    """A store whose approved model is hand-made."""
    settings = LesionSettings(store=str(tmp_path / "store"), work=tmp_path / "work")
    store = open_store(settings)
    model = publish_model(store, tmp_path / "scratch")
    move_channel(store, "approved", model, action="approve", approver="Dr Grey", reason="tested", clock=now)
    return settings


@pytest.fixture
def folder(tmp_path: Path, lesion_jpeg: bytes) -> Path:
    """Three images and one that was cut short."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.jpg").write_bytes(lesion_jpeg)
    (folder / "cut.jpg").write_bytes(lesion_jpeg[:900])
    return folder


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_image_has_a_row(settings: LesionSettings, folder: Path, tmp_path: Path, suffix: str) -> None:
    table = tmp_path / "known.csv"
    table.write_text("\ufeffimage,age_years,sex\na.jpg,61,female\nb,400,male\n", encoding="utf-8")
    output = tmp_path / f"out.{suffix}"
    assert score(settings, folder, output, metadata=table, model_id="") == (2, 2)
    rows = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    rows = rows.set_index("image")
    probabilities = rows[[f"p_{name}" for name in CLASS_ORDER]].astype(float)
    assert probabilities.loc[["a.jpg", "c.jpg"]].sum(axis=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert probabilities.loc[["b.jpg", "cut.jpg"]].isna().all(axis=None)
    assert "age_years 400" in rows.loc["b.jpg", "refused"]
    assert "cut.jpg" in rows.loc["cut.jpg", "refused"]


def test_a_folder_without_images_is_refused(settings: LesionSettings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found none in"):
        score(settings, tmp_path, tmp_path / "out.csv", metadata=None, model_id="")


def test_a_table_without_the_column_image_is_refused(settings: LesionSettings, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    table.write_text("name,age_years\na.jpg,61\n")
    with pytest.raises(ConfigError, match=r"column 'image'.*got \['name', 'age_years'\]"):
        score(settings, folder, tmp_path / "out.csv", metadata=table, model_id="")


def test_without_an_approved_model_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    settings = LesionSettings(store=str(tmp_path / "empty"), work=tmp_path / "work")
    with pytest.raises(ModelNotReady):
        score(settings, folder, tmp_path / "out.csv", metadata=None, model_id="")
    assert not (tmp_path / "out.csv").exists()
