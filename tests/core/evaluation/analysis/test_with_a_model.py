"""The three analyses with a stored dataset and model, as an evaluation has them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesion_core.dataset.manifest import MANIFEST_NAME
from lesion_core.dataset.model_images import ModelImages
from lesion_core.evaluation.analysis.drawing import write_stress, write_subgroups
from lesion_core.evaluation.analysis.missing_metadata import measure_missing_metadata
from lesion_core.evaluation.analysis.stress import measure_stress
from lesion_core.evaluation.analysis.subgroups import measure_subgroups, subgroup_columns
from lesion_core.evaluation.analysis.variants import Metadata
from lesion_core.evaluation.measurement import Scored
from lesion_core.evaluation.predictions import predict_rows
from lesion_core.figures import Subject
from lesion_core.parquet import read_frame
from lesion_core.progress import ignore_progress
from lesion_core.serving.predictor import Predictor
from lesion_core.statistics.estimates import Estimate
from lesion_core.stores.folders import materialise
from tests.core.evaluation.conftest import Evaluated


class _Opened:
    """Rows, scores and the model of the stored world's test split."""

    def __init__(self, world: Evaluated, place: Path) -> None:
        folder = materialise(world.store, world.model, place)
        self.predictor = Predictor.load(folder, model_id=world.model.id)
        self.images = ModelImages(world.dataset, world.store, self.predictor.preprocessing)
        self.rows = world.dataset.split("test")
        probs = predict_rows(self.predictor, self.images, self.rows, ignore_progress).probs
        self.scored = Scored(self.rows["class_index"].to_numpy(np.int64), probs, self.rows["group"].to_numpy(str))

    def predict(self, pixels: np.ndarray, metadata: Metadata) -> np.ndarray:
        return self.predictor.predict(pixels, metadata).probs

    def pixels(self, rows: pd.DataFrame) -> np.ndarray:
        return self.images.pixels(rows)


@pytest.fixture(scope="module")
def opened(evaluated: Evaluated, tmp_path_factory: pytest.TempPathFactory) -> _Opened:
    return _Opened(evaluated, tmp_path_factory.mktemp("models"))


def test_metadata_is_made_unknown_for_the_served_model(opened: _Opened) -> None:
    found = measure_missing_metadata(
        opened.scored, opened.rows, predict=opened.predict, pixels=opened.pixels, n_bootstrap=100
    )
    assert found.n_images == len(opened.rows)
    assert found.image_only.n_images_known > 0
    assert found.image_only.log_loss.difference.value != 0  # this model's head reads metadata


def test_the_served_model_is_stressed(opened: _Opened, tmp_path: Path) -> None:
    found = measure_stress(
        opened.scored, opened.rows, predict=opened.predict, pixels=opened.pixels, max_images=6, n_bootstrap=100
    )
    assert found.n_images <= 6 < found.n_images_of == len(opened.rows)
    dark = [row.malignant_change.value for row in found.rows_by_change if row.perturbation == "darker"]
    assert all(value is not None and value > 0 for value in dark)
    with Image.open(write_stress(tmp_path, found, Subject("a model", synthetic=True))) as image:
        assert image.format == "PNG"


def test_subgroups_come_from_the_stored_manifest(opened: _Opened, evaluated: Evaluated, tmp_path: Path) -> None:
    manifest = read_frame(evaluated.dataset.folder / MANIFEST_NAME)
    labels = subgroup_columns(opened.rows, manifest)
    found = measure_subgroups(opened.scored, labels, n_bootstrap=100, n_permutations=99)
    sources = [one for one in found.subgroups if one.field == "source"]
    assert {one.value for one in sources} == {"hospital a", "hospital b"}
    assert sum(one.n_images for one in sources) == len(opened.rows)
    assert "skin type" in found.not_recorded
    some = Estimate(value=0.4, low=0.2, high=0.6, method="group bootstrap")
    path = write_subgroups(
        tmp_path, found, Subject("a model", synthetic=True), malignant_sensitivity=some, balanced_accuracy=some
    )
    with Image.open(path) as image:
        assert image.format == "PNG"
