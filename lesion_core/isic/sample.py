"""A seeded, class-stratified sample of whole groups, drawn from a listing before anything is downloaded."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lesion_core.labels import CLASS_ORDER, Diagnosis

# A class with so many groups can fill four splits and still be counted in each of them.
GROUPS_PER_CLASS = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """One image that could be drawn; a missing lesion or patient joins it to nothing."""

    isic_id: str
    diagnosis: Diagnosis
    lesion_id: str | None = None
    patient_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Images of one patient or lesion, filed under the rarest class among them."""

    isic_ids: tuple[str, ...]
    stratum: Diagnosis


def draw_sample(candidates: Iterable[Candidate], *, limit: int, seed: int) -> frozenset[str]:
    """Return the ids of about ``limit`` images, in whole groups.

    Every class first gets up to ``GROUPS_PER_CLASS`` groups, as long as these floors take no more than about
    half of ``limit``; the rest is filled so that classes keep the listing's proportions as far as the floors
    allow. Drawing ends with the group that reaches ``limit``. The same candidates, limit and seed give the
    same sample whatever the order of the listing, and for one seed a larger sample contains most of a
    smaller one.
    """
    images = sorted(candidates, key=lambda candidate: candidate.isic_id)
    waiting = _ordered_strata(_groups(images), seed)
    sizes = {stratum: sum(len(group.isic_ids) for group in groups) for stratum, groups in waiting.items()}
    drawn: dict[Diagnosis, list[str]] = {stratum: [] for stratum in waiting}

    def n_drawn() -> int:
        return sum(len(ids) for ids in drawn.values())

    for _ in range(_floor(limit, len(waiting))):
        for stratum, groups in waiting.items():
            if groups and n_drawn() < limit:
                drawn[stratum].extend(groups.pop().isic_ids)
    while n_drawn() < limit and any(waiting.values()):
        open_strata = [stratum for stratum, groups in waiting.items() if groups]
        scarcest = min(open_strata, key=lambda stratum: len(drawn[stratum]) / sizes[stratum])
        drawn[scarcest].extend(waiting[scarcest].pop().isic_ids)
    return frozenset(isic_id for ids in drawn.values() for isic_id in ids)


def _floor(limit: int, n_strata: int) -> int:
    return max(1, min(GROUPS_PER_CLASS, limit // (2 * max(1, n_strata))))


def _groups(images: Sequence[Candidate]) -> list[_Group]:
    """Join images that share a lesion or a patient, directly or through others."""
    leaders = list(range(len(images)))

    def leader_of(index: int) -> int:
        while leaders[index] != index:
            leaders[index] = leaders[leaders[index]]
            index = leaders[index]
        return index

    first_with: dict[tuple[str, str], int] = {}
    for index, image in enumerate(images):
        for kind, value in (("lesion", image.lesion_id), ("patient", image.patient_id)):
            if value:
                leaders[leader_of(index)] = leader_of(first_with.setdefault((kind, value), index))
    members: dict[int, list[Candidate]] = defaultdict(list)
    for index, image in enumerate(images):
        members[leader_of(index)].append(image)
    counts = Counter(image.diagnosis for image in images)
    return [_group(group, counts) for group in members.values()]


def _group(images: Sequence[Candidate], counts: Counter[Diagnosis]) -> _Group:
    rarest = min({image.diagnosis for image in images}, key=lambda item: (counts[item], CLASS_ORDER.index(item)))
    return _Group(tuple(image.isic_id for image in images), rarest)


def _ordered_strata(groups: Iterable[_Group], seed: int) -> dict[Diagnosis, list[_Group]]:
    """Return the groups by class, each class in an order that depends on seed and group alone."""

    def place(group: _Group) -> str:
        return hashlib.sha256(f"{seed}:{group.isic_ids[0]}".encode()).hexdigest()

    strata: dict[Diagnosis, list[_Group]] = {diagnosis: [] for diagnosis in CLASS_ORDER}
    for group in sorted(groups, key=place):
        strata[group.stratum].append(group)
    return {diagnosis: groups for diagnosis, groups in strata.items() if groups}
