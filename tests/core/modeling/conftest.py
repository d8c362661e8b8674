"""Small networks and inputs that the modeling tests share."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from lesion_core.modeling.network.network import build_network
from lesion_core.recipes.recipe import Recipe

Inputs = dict[str, np.ndarray]
MakeInputs = Callable[[int, int], Inputs]
MakeNetwork = Callable[..., keras.Model]


@pytest.fixture
def make_inputs() -> MakeInputs:
    """A batch of noise; its first patient is unknown in every field, its second in age alone."""

    def make(n_images: int, size_px: int) -> Inputs:
        rng = np.random.default_rng(3)
        age_years = rng.uniform(0, 95, n_images).astype(np.float32)
        sex_code = rng.integers(1, 3, n_images).astype(np.int32)
        site_code = rng.integers(1, 9, n_images).astype(np.int32)
        age_years[:2], sex_code[:1], site_code[:1] = np.nan, 0, 0
        image = rng.integers(0, 256, (n_images, size_px, size_px, 3), dtype=np.uint8)
        return {"image": image, "age_years": age_years, "sex_code": sex_code, "site_code": site_code}

    return make


@pytest.fixture
def make_network() -> MakeNetwork:
    """A 'tiny' network whose every weight has been moved, so that no part of it is silent."""

    def make(**fields: object) -> keras.Model:
        options = {"name": "test", "backbone": "tiny", "weights": "none", "size_px": 64, **fields}
        keras.utils.set_random_seed(5)
        model = build_network(Recipe.model_validate(options))
        rng = np.random.default_rng(4)
        for weight in model.trainable_weights:
            weight.assign_add(rng.normal(0, 0.1, weight.shape).astype(np.float32))
        return model

    return make


@pytest.fixture
def saved_path(tmp_path: Path) -> Path:
    """Where a test saves its network."""
    return tmp_path / "model.keras"
