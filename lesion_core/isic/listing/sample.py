"""A seeded, class-stratified sample of whole groups, drawn from a listing before anything is downloaded.

The listing may be long, so candidates are kept as a few numbers each, not as objects.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lesion_core.labels import CLASS_ORDER, Diagnosis

# A class with so many groups can fill four splits and still be counted in each of them.
GROUPS_PER_CLASS = 16
_PREFIX = "ISIC_"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One image that could be drawn; a missing lesion or patient joins it to nothing."""

    isic_id: str
    diagnosis: Diagnosis
    lesion_id: str | None = None
    patient_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Groups:
    """Images in the order of their ids, joined by patient or lesion, directly or through others.

    Attributes:
        numbers: int64 (n,), the numbers in the ids.
        order: int64 (n,), positions of the images, group by group.
        starts: int64 (g + 1,), where each group begins in ``order``.
        strata: int64 (g,), the rarest class of each group.
    """

    numbers: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    strata: np.ndarray

    def members(self, group: int) -> list[str]:
        """Return the ids of a group, sorted."""
        positions = self.order[self.starts[group] : self.starts[group + 1]]
        return [_id_of(number) for number in self.numbers[positions]]


def draw_sample(candidates: Iterable[Candidate], *, limit: int, seed: int) -> frozenset[str]:
    """Return the ids of about ``limit`` images, in whole groups.

    Every class first gets up to ``GROUPS_PER_CLASS`` groups, as long as these floors take no more than about
    half of ``limit``; the rest is filled so that classes keep the listing's proportions as far as the floors
    allow. Drawing ends with the group that reaches ``limit``. The same candidates, limit and seed give the
    same sample whatever the order of the listing, and for one seed a larger sample contains most of a
    smaller one.
    """
    groups = _group(candidates)
    waiting = _ordered_strata(groups, seed)
    sizes = np.diff(groups.starts)
    totals = {stratum: int(sizes[ids].sum()) for stratum, ids in waiting.items()}
    drawn: dict[int, list[str]] = {stratum: [] for stratum in waiting}

    def n_drawn() -> int:
        return sum(len(ids) for ids in drawn.values())

    for _ in range(_floor(limit, len(waiting))):
        for stratum, ids in waiting.items():
            if ids and n_drawn() < limit:
                drawn[stratum].extend(groups.members(ids.pop()))
    while n_drawn() < limit and any(waiting.values()):
        open_strata = [stratum for stratum, ids in waiting.items() if ids]
        scarcest = min(open_strata, key=lambda stratum: len(drawn[stratum]) / totals[stratum])
        drawn[scarcest].extend(groups.members(waiting[scarcest].pop()))
    return frozenset(isic_id for ids in drawn.values() for isic_id in ids)


def _floor(limit: int, n_strata: int) -> int:
    return max(1, min(GROUPS_PER_CLASS, limit // (2 * max(1, n_strata))))


def _id_of(number: int) -> str:
    return f"{_PREFIX}{number:07d}"


def _group(candidates: Iterable[Candidate]) -> _Groups:
    numbers, classes, lesions, patients = array("q"), array("b"), array("Q"), array("Q")
    for candidate in candidates:
        numbers.append(int(candidate.isic_id.removeprefix(_PREFIX)))
        classes.append(CLASS_ORDER.index(candidate.diagnosis))
        lesions.append(_digest(candidate.lesion_id))
        patients.append(_digest(candidate.patient_id))
    by_id = np.argsort(np.asarray(numbers), kind="stable")
    links = [_links(np.asarray(values)[by_id]) for values in (lesions, patients)]
    number_of_group = _components(np.concatenate(links), len(by_id))
    labels = np.asarray(classes, np.int64)[by_id]
    order = np.argsort(number_of_group, kind="stable")
    starts = np.searchsorted(number_of_group[order], np.arange(number_of_group.max(initial=-1) + 2))
    return _Groups(np.asarray(numbers)[by_id], order, starts, _rarest(labels[order], starts))


def _digest(value: str | None) -> int:
    """Return 64 bits that stand for an id; 0 where there is none."""
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little") if value else 0


def _links(values: np.ndarray) -> np.ndarray:
    """Return pairs of neighbours, int64 (m, 2), among the positions that share a value other than 0."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def _components(links: np.ndarray, size: int) -> np.ndarray:
    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _rarest(labels: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the class of each group that has the fewest images in all; ties go to the first in ``CLASS_ORDER``."""
    counts = np.bincount(labels, minlength=len(CLASS_ORDER))
    by_rarity = sorted(range(len(CLASS_ORDER)), key=lambda label: (counts[label], label))
    rank = np.empty(len(CLASS_ORDER), np.int64)
    rank[by_rarity] = np.arange(len(CLASS_ORDER))
    if not len(labels):
        return np.empty(0, np.int64)
    return np.asarray(by_rarity)[np.minimum.reduceat(rank[labels], starts[:-1])]


def _ordered_strata(groups: _Groups, seed: int) -> Mapping[int, list[int]]:
    """Return the groups by class, each class in an order that depends on seed and group alone."""

    def places() -> Iterator[bytes]:
        for start in groups.starts[:-1]:
            first = _id_of(groups.numbers[groups.order[start]])
            yield hashlib.sha256(f"{seed}:{first}".encode()).digest()

    order = np.argsort(np.fromiter(places(), dtype="S32", count=len(groups.strata)), kind="stable")
    strata: dict[int, list[int]] = {label: [] for label in range(len(CLASS_ORDER))}
    for group in order:
        strata[int(groups.strata[group])].append(int(group))
    return {label: ids for label, ids in strata.items() if ids}
