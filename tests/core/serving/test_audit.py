"""A record says what was answered, and nothing about whom."""

import datetime
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesion_core.errors import StoreRefused
from lesion_core.labels import CLASS_ORDER, Sex, Site
from lesion_core.serving.audit import describe_answer, record_answer, try_record
from lesion_core.serving.predictor import Answer, Predictor
from lesion_core.stores.local import LocalStore
from lesion_core.types import PatientMetadata
from tests.model_folders import write_model_folder

NOW = datetime.datetime(2026, 3, 4, 5, 6, 7, tzinfo=datetime.UTC)


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (80, 80, 3), np.uint8)).save(buffer, "PNG")
    predictor = Predictor.load(write_model_folder(tmp_path / "hand-made" / "aaaaaaaaaaaa"))
    return predictor.predict_bytes(
        buffer.getvalue(), PatientMetadata(age_years=67.5, sex=Sex.FEMALE, site=Site.HEAD_NECK)
    )


def test_a_record_is_kept_under_its_day(tmp_path: Path, answer: Answer) -> None:
    store = LocalStore(tmp_path / "store")
    key = record_answer(store, answer, now=NOW)
    assert key.startswith("audit/2026-03-04/")
    record = json.loads(store.read(key))
    assert record["model"] == "hand-made/aaaaaaaaaaaa"
    assert set(record["probabilities"]) == set(CLASS_ORDER)
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert record["hour"] == "2026-03-04T05:00Z"
    assert record_answer(store, answer, now=NOW) != key


def test_neither_pixels_nor_exact_age_are_in_it(answer: Answer) -> None:
    record = describe_answer(answer)
    assert set(record) == {"model", "probabilities", "age_decade", "sex", "site", "notes", "out_of_distribution"}
    assert record["out_of_distribution"] is None  # the model has no score
    assert record["age_decade"] == 60
    assert "67" not in json.dumps({key: value for key, value in record.items() if key != "probabilities"})
    assert len(json.dumps(record)) < 1000


@pytest.mark.parametrize(("age", "decade"), [(None, None), (0.0, 0), (9.9, 0), (90.0, 90), (104.0, 90)])
def test_ages_are_kept_as_decades(answer: Answer, age: float | None, decade: int | None) -> None:
    predictor_free = Answer(
        model_id=answer.model_id,
        classes=answer.classes,
        maps=answer.maps,
        map_kind=answer.map_kind,
        pixels=answer.pixels,
        metadata=PatientMetadata(age_years=age),
        notes=(),
    )
    assert describe_answer(predictor_free)["age_decade"] == decade


def test_a_store_that_refuses_does_not_cost_the_answer(tmp_path: Path, answer: Answer) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "audit").write_text("a file where the folder should be")
    failure = try_record(LocalStore(tmp_path / "store"), answer, now=NOW)
    assert isinstance(failure, StoreRefused)
