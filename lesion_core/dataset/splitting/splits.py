"""Which split each image belongs to: by whole groups, class by class and source by source, and for good.

A group that has a split keeps it, however the dataset grows. Where new evidence joins groups of different
splits, the side nearer to the final report wins (test, calibration, validation, train), and the other side's
images are quarantined: an earlier model may have learnt from them, so they may not be tested on, and their
twins are being tested on, so they may not be learnt from.

The test split is frozen under its name: after the first dataset that has it, it never gains an image. New groups go
elsewhere, and a new image of a group in test is set aside until the test has another name.

Options may hold groups out for the test (``held_out``): all of them, those of a source, or those of a class.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum

import pandas as pd

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.splitting.allocation import GroupAllocator
from lesion_core.dataset.splitting.held_out import find_held_out
from lesion_core.errors import ConfigError, DataError, ManifestError
from lesion_core.labels import CLASS_ORDER, class_index

SPLITS = ("train", "validation", "calibration", "test")
_WEAKEST_FIRST = (QUARANTINED, "train", "validation", "calibration", "test")
# Where the first groups of a class go: it must be learnt, then tested, then the rest.
_FIRST_NEEDS = ("train", "test", "validation", "calibration")
_MIN_TRAIN = 0.1


class Reason(StrEnum):
    """Why an image is quarantined."""

    JOINED = "new evidence joined two splits"
    FROZEN = "new image of a group in the frozen test"
    BESIDE = "in a group of the source that was left out, but not of it"


def assign_splits(
    manifest: pd.DataFrame,
    options: PrepareOptions,
    history: Mapping[str, str] | None = None,
    *,
    withdrawn: Mapping[str, str] | None = None,
    frozen: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return each image's ``split``, one of ``SPLITS`` or ``QUARANTINED``, and the ``reason`` for the latter.

    New groups are drawn and placed as ``GroupAllocator`` says. A class with one group is in train; the second group
    goes to test, the third to validation, the fourth to calibration.

    Args:
        manifest: Columns ``isic_id``, ``group``, ``diagnosis`` (of ``CLASS_ORDER``), ``source``; the row order does
            not matter.
        options: Fractions (shares of a class's images; train takes the rest) and seed.
        history: Splits given before, by ``isic_id``.
        withdrawn: Group of each split history image that is not in ``manifest`` any more; it still holds its group's
            split.
        frozen: The only images that may be in test; ``None``: the test may grow.

    Returns:
        Index as in ``manifest``.

    Raises:
        ConfigError: The fractions leave less than a tenth for training.
        ManifestError: The split history names a split that does not exist.
        DataError: Too few groups to fill all four splits, fewer than two classes to learn, or nothing to hold out.
    """
    shares = shares_of(options)
    past = history or {}
    if unknown := set(past.values()) - set(_WEAKEST_FIRST):
        raise ManifestError(
            f"expected splits of {', '.join(_WEAKEST_FIRST)} in the split history, got {sorted(unknown)}"
        )
    held_out = find_held_out(manifest, options)
    given = {**_given(manifest, past, withdrawn or {}), **dict.fromkeys(held_out.groups, "test")}
    held = manifest["group"].map(given)
    before = manifest["isic_id"].map(past)
    barred = (held == "test") & ~manifest["isic_id"].isin(manifest["isic_id"] if frozen is None else frozen)
    parted = before.notna() & (before != held)
    aside = parted | barred | held_out.beside
    placed = manifest[~aside].assign(class_index=manifest["diagnosis"].map(class_index))
    may_grow = frozen is None and not held_out.fills_test
    chosen = (
        given if options.test_only else {**given, **_place(placed, shares, options.seed, given, may_grow=may_grow)}
    )
    splits = manifest["group"].map(chosen).mask(aside, QUARANTINED).rename("split")
    if not options.test_only:
        _check_filled(manifest, splits)
    reason = pd.Series(str(Reason.JOINED), index=manifest.index).mask(held_out.beside & ~parted, str(Reason.BESIDE))
    reason = reason.mask(barred & ~parted, str(Reason.FROZEN))
    return pd.DataFrame({"split": splits, "reason": reason.where(splits == QUARANTINED, None)})


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
    """Return the split of each group that has one: the strongest of its images'."""
    group_of = {**withdrawn, **dict(zip(manifest["isic_id"], manifest["group"], strict=True))}
    given: dict[str, str] = {}
    for isic_id, split in past.items():
        group = group_of.get(isic_id)
        if group is not None:
            given[group] = max(given.get(group, QUARANTINED), split, key=_WEAKEST_FIRST.index)
    return given


def _place(
    images: pd.DataFrame, shares: Mapping[str, float], seed: int, given: Mapping[str, str], *, may_grow: bool
) -> dict[str, str]:
    """Return the split of every group; if the test may not grow, the others share what is not in it."""
    if may_grow:
        return GroupAllocator(images, shares, seed=seed, given=given, first=_FIRST_NEEDS).run()
    others = {split: share / (1 - shares["test"]) for split, share in shares.items() if split != "test"}
    rest = images[images["group"].map(given) != "test"]
    first = [split for split in _FIRST_NEEDS if split != "test"]
    return GroupAllocator(rest, others, seed=seed, given=given, first=first).run()


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
