"""How well an image's class can be determined without looking at the skin: what a careless model would learn instead.

A small fixed model (one decision tree with balanced classes) sees only the size, the shape, the file, the border or
the source of an image, or what was written down about it: which values are missing, how the diagnosis was confirmed.
It learns on all folds but one and is tested on that one. Its balanced accuracy stands beside chance and beside the
best of trees whose labels were shuffled between groups. This informs, and refuses nothing: a shortcut in the data is
a fact about the archive. See Winkler et al. 2019 (doi:10.1001/jamadermatol.2019.1735), Bissoto et al. 2019
(doi:10.1109/CVPRW.2019.00335) and Geirhos et al. 2020 (doi:10.1038/s42256-020-00257-z).
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.tree import DecisionTreeClassifier

from lesion_core.dataset.proof.certificate import Shortcut
from lesion_core.dataset.proof.leakage import NO_FOLD, QUARANTINED
from lesion_core.dataset.records import shard_name
from lesion_core.fields.table import FIELDS
from lesion_core.progress import ProgressCallback, Tally, ignore_progress

SIZE = "width and height"
ASPECT = "aspect ratio"
LENGTH = "file length"
BORDER = "border colour"
SOURCE = "source"
MISSING = "what is missing"
CONFIRMATION = "confirmation type"
ALL = "all of them"
_EACH: Mapping[str, tuple[str, ...]] = {
    SIZE: ("width", "height"),
    ASPECT: ("aspect",),
    LENGTH: ("n_bytes",),
    BORDER: ("border_red", "border_green", "border_blue"),
    SOURCE: ("source",),
    MISSING: tuple(f"{field.name}_missing" for field in FIELDS),
    CONFIRMATION: ("confirm_type",),
}
# What each audit may look at.
FEATURES: Mapping[str, tuple[str, ...]] = {
    **_EACH,
    ALL: tuple(column for columns in _EACH.values() for column in columns),
}
BORDER_SHARE = 0.05  # of the side, on each side
N_SHUFFLES = 19  # the best of 19 is passed by chance once in 20
_MAX_LEAVES = 64
_MIN_LEAF = 5
MAX_IMAGES = 15_000  # of a larger dataset a part, in whole groups: the audit takes seconds, not minutes


def border_colours(folder: Path, splits: pd.DataFrame, on_progress: ProgressCallback = ignore_progress) -> np.ndarray:
    """Return the mean colour of each image's outer frame as it is recorded, float32 ``(n, 3)``, RGB, 0 to 255.

    Args:
        folder: Holds ``records/``.
        splits: Columns ``shard`` and ``row``; the result has their order.
        on_progress: Gets the stage 'border colours', image by image.
    """
    tally = Tally(on_progress, "border colours", len(splits))
    colours = np.empty((len(splits), 3), np.float32)
    for number, part in splits.reset_index(drop=True).groupby("shard"):
        pixels = np.load(folder / shard_name(int(str(number))), mmap_mode="r", allow_pickle=False)
        colours[part.index] = _frame_means(pixels)[part["row"]]
        tally.add(len(part))
    return colours


def audit_shortcuts(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    borders: np.ndarray,
    *,
    seed: int,
    n_shuffles: int = N_SHUFFLES,
    on_progress: ProgressCallback = ignore_progress,
) -> tuple[Shortcut, ...]:
    """Return how well each of ``FEATURES`` predicts the class, by cross-validation over the recorded folds.

    Args:
        manifest: Columns ``width``, ``height``, ``n_bytes``, ``source``, ``confirm_type`` and the metadata
            fields; all but the first four may be null.
        splits: Columns ``split``, ``fold``, ``group``, ``class_index``, rows as in ``manifest``.
        borders: As ``border_colours`` returns them.
        seed: Of the shuffles.
        n_shuffles: How many.
        on_progress: Gets the stage 'shortcut audit', one of ``FEATURES`` after the other.
    """
    rng = np.random.default_rng(seed)
    is_placed = ((splits["split"] != QUARANTINED) & (splits["fold"] != NO_FOLD)).to_numpy()
    used = is_placed & _drawn(splits["group"], rng)
    table, rows = _table(manifest, borders)[used], splits[used]
    classes, folds = rows["class_index"].to_numpy(np.int64), rows["fold"].to_numpy(np.int64)
    shuffled = [_shuffled_between_groups(classes, rows["group"].to_numpy(str), rng) for _ in range(n_shuffles)]
    audits, tally = [], Tally(on_progress, "shortcut audit", len(FEATURES))
    tally.tell()
    for name, columns in FEATURES.items():
        features = table[list(columns)].to_numpy(np.float32)
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="shortcuts") as pool:  # trees free the lock
            scores = list(pool.map(lambda labels, seen=features: _score(seen, labels, folds), [classes, *shuffled]))
        audits.append(
            Shortcut(
                features=name,
                balanced_accuracy=scores[0],
                chance=1 / len(np.unique(classes)),
                shuffled_mean=float(np.mean(scores[1:])),
                shuffled_best=max(scores[1:]),
                n_shuffles=n_shuffles,
                n_images=len(rows),
            )
        )
        tally.add(message=name)
    return tuple(audits)


def _drawn(groups: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """Return which images are looked at, bool ``(n,)``: all, or those of randomly drawn groups."""
    sizes = groups.value_counts().sort_index()
    order = rng.permutation(len(sizes))
    drawn = sizes.index[order[sizes.to_numpy()[order].cumsum() <= MAX_IMAGES]]
    return groups.isin(drawn).to_numpy()


def _frame_means(pixels: np.ndarray) -> np.ndarray:
    """Return the mean of the outer frame, float32 ``(n, 3)``, of images ``(n, side, side, 3)``."""
    side = pixels.shape[1]
    wide = max(1, round(side * BORDER_SHARE))
    strips = (
        pixels[:, :wide],
        pixels[:, -wide:],
        pixels[:, wide:-wide, :wide],
        pixels[:, wide:-wide, -wide:],
    )
    sums = sum(strip.sum(axis=(1, 2), dtype=np.float64) for strip in strips)
    return (sums / (4 * wide * (side - wide))).astype(np.float32)


def _table(manifest: pd.DataFrame, borders: np.ndarray) -> pd.DataFrame:
    red, green, blue = borders.T
    return pd.DataFrame(
        {
            "width": manifest["width"].to_numpy(),
            "height": manifest["height"].to_numpy(),
            "aspect": (manifest["width"] / manifest["height"]).to_numpy(),
            "n_bytes": manifest["n_bytes"].to_numpy(),
            "border_red": red,
            "border_green": green,
            "border_blue": blue,
            "source": manifest["source"].factorize(sort=True)[0],
            **{f"{field.name}_missing": manifest[field.name].isna().to_numpy() for field in FIELDS},
            "confirm_type": manifest["confirm_type"].factorize(sort=True)[0],  # -1: not recorded
        }
    )


def _shuffled_between_groups(classes: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give each group the class of another one's first image, so that images of one lesion stay alike."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return classes[first][rng.permutation(len(first))][number]


def _score(features: np.ndarray, classes: np.ndarray, folds: np.ndarray) -> float:
    """Return the mean recall over the classes present, each fold answered by a tree that learnt from the others."""
    answers = np.full_like(classes, -1)
    for fold in np.unique(folds):
        tested = folds == fold
        weights = 1 / np.bincount(classes[~tested])[classes[~tested]]
        tree = DecisionTreeClassifier(max_leaf_nodes=_MAX_LEAVES, min_samples_leaf=_MIN_LEAF, random_state=0)
        # What is checked before each of some hundred small fits would cost more than the fits.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            tree.fit(features[~tested], classes[~tested], sample_weight=weights / weights.mean())
            answers[tested] = tree.predict(features[tested])
    return float(np.mean([(answers[classes == number] == number).mean() for number in np.unique(classes)]))
