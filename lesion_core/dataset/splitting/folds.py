"""Folds for cross-validation: whole groups, class by class and source by source, and for good.

A group that has a fold keeps it, however the dataset grows. Where new evidence joins groups of different folds, the
lowest fold wins, and the images that had another are left out of every fold (``NO_FOLD``): models of both
folds may have learnt from the one and been tested on the other.

The groups of the frozen test are in no fold: whoever chooses by cross-validation has then not seen one of its images.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from lesion_core.dataset.proof.leakage import NO_FOLD, QUARANTINED
from lesion_core.dataset.splitting.allocation import GroupAllocator
from lesion_core.errors import ConfigError, DataError, ManifestError
from lesion_core.labels import class_index


def assign_folds(
    manifest: pd.DataFrame,
    n_folds: int,
    seed: int,
    history: Mapping[str, int] | None = None,
    *,
    withdrawn: Mapping[str, str] | None = None,
    tested: Collection[str] = (),
) -> pd.Series:
    """Return each image's fold, int8: 0-based, or ``NO_FOLD``.

    Args:
        manifest: Columns ``isic_id``, ``group``, ``diagnosis`` and ``source``; the row order does not matter.
        n_folds: How many, of equal shares.
        seed: Of the order in which groups are drawn.
        history: Folds given before, by ``isic_id``.
        withdrawn: Group of each past image that is not in ``manifest`` any more; it still holds its group's fold.
        tested: Groups of the frozen test: in no fold, whatever they were in before.

    Raises:
        ManifestError: The split history names a fold that does not exist.
        DataError: Fewer groups than folds.
    """
    past = history or {}
    if unknown := {fold for fold in past.values() if not NO_FOLD <= fold < n_folds}:
        raise ManifestError(
            f"expected folds from {NO_FOLD} to {n_folds - 1} in the split history, got {sorted(unknown)}"
        )
    given = _given(manifest, past, withdrawn or {})
    before = manifest["isic_id"].map(past)
    aside = manifest["group"].isin(set(tested)) | (before.notna() & (before != manifest["group"].map(given)))
    images = manifest.assign(class_index=manifest["diagnosis"].map(class_index))[~aside]
    shares = {str(number): 1 / n_folds for number in range(n_folds)}
    held = {group: str(fold) for group, fold in given.items()}
    chosen = {**held, **GroupAllocator(images, shares, seed=seed, given=held).run()}
    folds = manifest["group"].map(chosen).mask(aside, str(NO_FOLD)).astype(np.int8).rename("fold")
    if empty := set(range(n_folds)) - set(folds):
        raise DataError(
            f"expected at least {n_folds} independent groups beside the test split to fill {n_folds} folds, got "
            f"{images['group'].nunique()} and nothing in fold {', '.join(map(str, sorted(empty)))}; ingest more "
            "images, or ask for fewer folds"
        )
    return folds


def name_splits(fold: int | None) -> str:
    """Return 'the splits of fold 2', or 'the own splits' where there is no fold."""
    return "the own splits" if fold is None else f"the splits of fold {fold}"


def splits_of_fold(rows: pd.DataFrame, fold: int) -> pd.Series:
    """Return each image's split when ``fold`` is tested on: strings, index as in ``rows``.

    The next fold is divided by group, class by class, into validation and calibration; the others are train. What is
    quarantined stays so, and what belongs to no fold is quarantined too.

    Args:
        rows: Columns ``isic_id``, ``group``, ``split``, ``fold`` and ``class_index``; their order does not matter.
        fold: Which one, 0-based.

    Raises:
        ConfigError: There is no such fold.
    """
    n_folds = int(rows["fold"].max()) + 1
    if not 0 <= fold < n_folds:
        raise ConfigError(f"expected a fold from 0 to {n_folds - 1}, got {fold}")
    aside = (rows["split"] == QUARANTINED) | (rows["fold"] == NO_FOLD)
    chosen = rows[~aside & (rows["fold"] == (fold + 1) % n_folds)].assign(source="")
    half = GroupAllocator(chosen, {"validation": 0.5, "calibration": 0.5}, seed=0, given={}).run()
    splits = pd.Series("train", index=rows.index, name="split", dtype=rows["split"].dtype)
    splits[rows["fold"] == fold] = "test"
    splits[chosen.index] = chosen["group"].map(half)
    return splits.mask(aside, QUARANTINED)


def hold_test(rows: pd.DataFrame) -> bool:
    """Say whether folds hold images of the frozen test: those of datasets that were prepared before version 5 do.

    Args:
        rows: Columns ``split``, as the dataset states it, and ``fold``.
    """
    return bool(((rows["split"] == "test") & (rows["fold"] != NO_FOLD)).any())


def _given(manifest: pd.DataFrame, past: Mapping[str, int], withdrawn: Mapping[str, str]) -> dict[str, int]:
    """Return the fold of each group that has one: the lowest of its images'."""
    group_of = {**withdrawn, **dict(zip(manifest["isic_id"], manifest["group"], strict=True))}
    given: dict[str, int] = {}
    for isic_id, fold in past.items():
        group = group_of.get(isic_id)
        if group is not None:
            known = given.get(group, NO_FOLD)
            given[group] = fold if known == NO_FOLD else known if fold == NO_FOLD else min(known, fold)
    return given
