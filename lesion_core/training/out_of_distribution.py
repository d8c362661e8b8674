"""What travels with a model to tell images that are unlike those that it was made from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from lesion_core.dataset.records import OpenDataset
from lesion_core.modeling.network.out_of_distribution import (
    LAYER,
    N_FEATURES,
    SCORE,
    features_of,
    frozen_features,
    scorer,
)
from lesion_core.progress import ProgressCallback, Tally, ignore_progress
from lesion_core.statistics.guarantees.out_of_distribution import (
    MOST_IMAGES,
    OutOfDistribution,
    find_threshold,
    fit_spread,
)
from lesion_core.statistics.guarantees.trials import one_per_group

STAGE = "out of distribution"
_BATCH = 32
_SEED = 0


@dataclass(frozen=True, slots=True)
class Detector:
    """The network from an image to its score, and what is to know of the score."""

    network: keras.Model
    stated: OutOfDistribution

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the score of each image, uint8 (n, s, s, 3), as float32 (n,)."""
        with _exact():
            return np.asarray(self.network.predict_on_batch({"image": images})[SCORE])


def fit_detector(dataset: OpenDataset, on_progress: ProgressCallback = ignore_progress) -> Detector:
    """Fit mean and precision to training images and find the threshold on calibration images, one of each group.

    Training images are taken as they are, without augmentation. ``on_progress`` gets the stage ``STAGE``, image by
    image.

    Raises:
        ConfigError: The package with the frozen network's weights is missing or damaged.
    """
    chosen = [_one_of_each_group(dataset.split(split)) for split in ("train", "calibration")]
    tally = Tally(on_progress, STAGE, sum(map(len, chosen)))
    tally.tell("features of training images")
    with _exact():
        network = frozen_features(dataset.ref.size_px)
        train, calibration = (
            _features(network, dataset, rows, lambda n: tally.add(n, "features of images")) for rows in chosen
        )
    spread = fit_spread(train)
    stated = find_threshold(spread.distances(calibration), layer=LAYER, n_fit=spread.n)
    return Detector(scorer(network, spread.mean, spread.factor), stated)


def _one_of_each_group(rows: pd.DataFrame) -> pd.DataFrame:
    groups = rows["group"].astype(str).to_numpy(dtype=str)
    return rows.iloc[one_per_group(groups, seed=_SEED, at_most=MOST_IMAGES)]


def _features(
    network: keras.Model, dataset: OpenDataset, rows: pd.DataFrame, on_done: Callable[[int], None]
) -> np.ndarray:
    parts = [np.zeros((0, N_FEATURES), np.float32)]
    for start in range(0, len(rows), _BATCH):
        part = rows.iloc[start : start + _BATCH]
        parts.append(features_of(network, dataset.pixels(part)))
        on_done(len(part))
    return np.concatenate(parts)


@contextmanager
def _exact() -> Iterator[None]:
    """Compute on the processor: a GPU rounds factors to 10 bits (TensorFloat-32), which the distance enlarges."""
    with keras.device("cpu:0"):
        yield
