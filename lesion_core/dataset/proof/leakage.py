"""Proof that no evidence stands in two splits or in two folds, from the tables themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from lesion_core.errors import LeakageError, ManifestError

QUARANTINED = "quarantined"
NO_FOLD = -1
# What may be in one split only; a null joins nothing.
EVIDENCE_COLUMNS = ("isic_id", "group", "patient_id", "lesion_id", "sha256")
NEAR_DUPLICATE = "near_duplicate"
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Overlap:
    """One piece of evidence found in several splits."""

    kind: str  # one of EVIDENCE_COLUMNS, or NEAR_DUPLICATE
    value: str  # the id, or 'ISIC_1 ~ ISIC_2'
    splits: tuple[str, ...]  # or folds: 'fold 0', 'fold 3'


def find_overlaps(
    rows: pd.DataFrame, near_duplicates: Iterable[tuple[str, str]] = (), *, of: Literal["split", "fold"] = "split"
) -> list[Overlap]:
    """Return everything that stands in more than one split (or fold); what is left out of all is left aside.

    Args:
        rows: Columns ``split``, ``fold`` and all of ``EVIDENCE_COLUMNS``.
        near_duplicates: Pairs of ``isic_id``.
        of: Which column says where an image stands.

    Raises:
        ManifestError: A column is missing: what was not looked at is not proven.
    """
    missing = [name for name in ("split", "fold", *EVIDENCE_COLUMNS) if name not in rows.columns]
    if missing:
        raise ManifestError(f"expected the columns {', '.join(missing)} to prove that no evidence is in two {of}s")
    used = rows[rows["split"] != QUARANTINED]
    if of == "fold":
        used = used[used["fold"] != NO_FOLD]
        used = used.assign(split="fold " + used["fold"].astype(str))
    overlaps: list[Overlap] = []
    for kind in EVIDENCE_COLUMNS:
        known = used[used[kind].notna()]
        n_splits = known.groupby(kind)["split"].nunique()
        for value in n_splits[n_splits > 1].index:
            splits = sorted(known.loc[known[kind] == value, "split"].unique())
            overlaps.append(Overlap(kind, str(value), tuple(splits)))
    return overlaps + _split_pairs(used, near_duplicates)


def assert_disjoint(rows: pd.DataFrame, near_duplicates: Iterable[tuple[str, str]] = ()) -> None:
    """Refuse rows in which any evidence stands in more than one split, or in more than one fold.

    Raises:
        LeakageError: Naming kind, value and splits (``kind``, ``value``, ``splits``, ``n_overlaps``).
        ManifestError: As for ``find_overlaps``.
    """
    pairs = list(near_duplicates)
    overlaps = find_overlaps(rows, pairs) + find_overlaps(rows, pairs, of="fold")
    if overlaps:
        first = overlaps[0]
        named = "; ".join(
            f"{item.kind} {item.value} in {' and '.join(item.splits)}" for item in overlaps[:_MAX_NAMED]
        )
        raise LeakageError(
            f"expected every patient, lesion and image in one split and one fold only, got {len(overlaps)} in "
            f"several: {named}{'; …' if len(overlaps) > _MAX_NAMED else ''}; prepare the dataset again and do not "
            "edit its tables",
            kind=first.kind,
            value=first.value,
            splits=first.splits,
            n_overlaps=len(overlaps),
        )


def _split_pairs(used: pd.DataFrame, near_duplicates: Iterable[tuple[str, str]]) -> list[Overlap]:
    split_of = dict(zip(used["isic_id"], used["split"], strict=True))
    found = []
    for one, other in near_duplicates:
        splits = {split_of[isic_id] for isic_id in (one, other) if isic_id in split_of}
        if len(splits) > 1:
            found.append(Overlap(NEAR_DUPLICATE, f"{one} ~ {other}", tuple(sorted(splits))))
    return found
