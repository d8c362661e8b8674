import dataclasses
from pathlib import Path

import pytest

from lesion_core.evaluation.effort import at_most, n_passes
from lesion_core.serving.model_folder import read_model_folder
from tests.model_folders import write_model_folder


@pytest.mark.parametrize(
    ("recipe", "passes"),
    [
        ({}, 1),
        ({"ensemble_size": 2, "test_time_augmentation": 8}, 16),
        ({"members": 3, "views": 4}, 12),  # as older models say it
    ],
)
def test_an_ensemble_in_views_is_asked_about_fewer_images(tmp_path: Path, recipe: dict, passes: int) -> None:
    folder = dataclasses.replace(read_model_folder(write_model_folder(tmp_path / "a")), recipe=recipe)
    assert n_passes(folder) == passes
    assert at_most(folder, 400, least=60) == max(60, 400 // passes)
