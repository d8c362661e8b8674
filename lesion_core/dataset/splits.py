"""Which split each picture belongs to: by whole groups, class by class, and for good.

A group that has a split keeps it, however the dataset grows. Where new evidence joins groups of different
splits, the side nearer to the final report wins (test, calibration, validation, train), and the other side's
pictures are quarantined: an earlier model may have learnt from them, so they may not be tested on, and their
twins are being tested on, so they may not be learnt from.
"""

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesion_core.dataset.leakage import QUARANTINED
from lesion_core.errors import ConfigError, DataError, ManifestError
from lesion_core.labels import CLASS_ORDER, N_CLASSES, class_index
from lesion_core.types import PrepareOptions

SPLITS = ("train", "validation", "calibration", "test")
_WEAKEST_FIRST = (QUARANTINED, "train", "validation", "calibration", "test")
# Where the first groups of a class go: it must be learnt, then tested, then the rest.
_FIRST_NEEDS = ("train", "test", "validation", "calibration")
_MIN_TRAIN = 0.1


def assign_splits(
    manifest: pd.DataFrame,
    options: PrepareOptions,
    ledger: Mapping[str, str] | None = None,
    *,
    withdrawn: Mapping[str, str] | None = None,
) -> pd.Series:
    """Return each picture's split: one of ``SPLITS`` or ``QUARANTINED``.

    New groups are drawn in an order that depends on the seed and their name alone. Class by class, the rarest first,
    each goes where the class is furthest below its share, if it fits there. A class with one group is in train;
    the second group goes to test, the third to validation, the fourth to calibration.

    Args:
        manifest: Columns ``isic_id``, ``group``, ``diagnosis`` (of ``CLASS_ORDER``); the row order does not matter.
        options: Fractions (shares of a class's pictures; train takes the rest) and seed.
        ledger: Splits given before, by ``isic_id``.
        withdrawn: Group of each ledger picture that is not in ``manifest`` any more; it still holds its group's
            split.

    Returns:
        Strings, index as in ``manifest``.

    Raises:
        ConfigError: The fractions leave less than a tenth for training.
        ManifestError: The ledger names a split that does not exist.
        DataError: Too few groups to fill all four splits, or fewer than two classes to learn.
    """
    shares = shares_of(options)
    past = ledger or {}
    if unknown := set(past.values()) - set(_WEAKEST_FIRST):
        raise ManifestError(f"expected splits of {', '.join(_WEAKEST_FIRST)} in the ledger, got {sorted(unknown)}")
    given = _given(manifest, past, withdrawn or {})
    before = manifest["isic_id"].map(past)
    parted = before.notna() & (before != manifest["group"].map(given))
    chosen = {**given, **_Filling(manifest[~parted], shares, options.seed, given).run()}
    splits = manifest["group"].map(chosen).mask(parted, QUARANTINED).rename("split")
    _check_filled(manifest, splits)
    return splits


def shares_of(options: PrepareOptions) -> dict[str, float]:
    """Return the share of each split; they sum to 1.

    Raises:
        ConfigError: Less than a tenth is left for training.
    """
    train = 1 - options.validation - options.calibration - options.test
    if train < _MIN_TRAIN:
        raise ConfigError(
            f"expected validation + calibration + test to leave at least {_MIN_TRAIN:.0%} for training, got "
            f"{options.validation} + {options.calibration} + {options.test}; lower them"
        )
    return {
        "train": train,
        "validation": options.validation,
        "calibration": options.calibration,
        "test": options.test,
    }


def _given(manifest: pd.DataFrame, past: Mapping[str, str], withdrawn: Mapping[str, str]) -> dict[str, str]:
    """Return the split of each group that has one: the strongest of its pictures'."""
    group_of = {**withdrawn, **dict(zip(manifest["isic_id"], manifest["group"], strict=True))}
    given: dict[str, str] = {}
    for isic_id, split in past.items():
        group = group_of.get(isic_id)
        if group is not None:
            given[group] = max(given.get(group, QUARANTINED), split, key=_WEAKEST_FIRST.index)
    return given


class _Filling:
    """Distributes new groups over the splits; counts are pictures by class and split."""

    def __init__(
        self, manifest: pd.DataFrame, shares: Mapping[str, float], seed: int, given: Mapping[str, str]
    ) -> None:
        classes = manifest["diagnosis"].map(class_index)
        table = pd.crosstab(manifest["group"], classes).reindex(columns=range(N_CLASSES), fill_value=0)
        self.sizes: dict[str, np.ndarray] = dict(zip(table.index, table.to_numpy(), strict=True))
        totals = table.to_numpy().sum(axis=0)
        self.rarest_first = sorted(range(N_CLASSES), key=lambda number: (totals[number], number))
        self.targets = np.array([shares[split] for split in SPLITS])[None, :] * totals[:, None]
        self.counts = np.zeros((N_CLASSES, len(SPLITS)))
        self.chosen: dict[str, str] = {}
        for group, split in given.items():
            if group in self.sizes and split in SPLITS:
                self._put(group, split)
        fresh = [group for group in self.sizes if group not in given]
        self.drawn = sorted(fresh, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())

    def run(self) -> dict[str, str]:
        """Return the split of every group."""
        members: dict[int, list[str]] = {number: [] for number in range(N_CLASSES)}
        for group in self.drawn:
            rarest = next(number for number in self.rarest_first if self.sizes[group][number])
            members[rarest].append(group)
        for number in self.rarest_first:
            for group in self._start(number, members[number]):
                self._put(group, self._neediest(number, self.sizes[group][number]))
        return self.chosen

    def _start(self, number: int, groups: list[str]) -> list[str]:
        """Give each split that has none of the class its first group; return the groups that are left."""
        left = list(groups)
        for split in _FIRST_NEEDS:
            column = SPLITS.index(split)
            if left and not self.counts[number, column]:
                room = max(1, math.ceil(self.targets[number, column]))
                first = min(left, key=lambda group: max(0, self.sizes[group][number] - room))
                left.remove(first)
                self._put(first, split)
        return left

    def _neediest(self, number: int, size: int) -> str:
        after = self.counts[number] + size
        targets = np.maximum(self.targets[number], 1e-9)
        fits = after <= np.ceil(targets)
        excess = np.where(fits, self.counts[number] / targets, 1 + after / targets)
        return SPLITS[int(np.argmin(excess))]

    def _put(self, group: str, split: str) -> None:
        self.chosen[group] = split
        self.counts[:, SPLITS.index(split)] += self.sizes[group]


def _check_filled(manifest: pd.DataFrame, splits: pd.Series) -> None:
    empty = [split for split in SPLITS if not (splits == split).any()]
    learnt = manifest.loc[splits == "train", "diagnosis"].nunique()
    if empty or learnt < 2:
        n_groups = manifest.groupby("diagnosis")["group"].nunique()
        found = ", ".join(f"{name} {n_groups[name]}" for name in CLASS_ORDER if name in n_groups)
        lack = f"{', '.join(empty)} without any" if empty else f"{learnt} class to learn"
        raise DataError(
            "expected at least two classes and enough independent lesions to fill train, validation, calibration and "
            f"test, got {lack}; lesions by class: {found or 'none'}. Ingest more images or raise the limit",
            empty=empty,
        )
