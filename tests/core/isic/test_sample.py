import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.isic.listing.sample import GROUPS_PER_CLASS, Candidate, draw_sample
from lesion_core.labels import CLASS_ORDER, Diagnosis

IDS = st.one_of(st.none(), st.integers(0, 6).map(str))


@st.composite
def listings(draw: st.DrawFn) -> list[Candidate]:
    rows = draw(st.lists(st.tuples(st.sampled_from(CLASS_ORDER), IDS, IDS), min_size=1, max_size=60))
    return [
        Candidate(f"ISIC_{number:07d}", diagnosis, lesion, patient)
        for number, (diagnosis, lesion, patient) in enumerate(rows)
    ]


def groups_of(candidates: list[Candidate]) -> list[set[str]]:
    """Join images that share a lesion or patient, by merging sets until nothing changes."""
    groups: list[tuple[set[str], set[tuple[str, str]]]] = []
    for image in candidates:
        names = {(kind, value) for kind, value in (("l", image.lesion_id), ("p", image.patient_id)) if value}
        ids = {image.isic_id}
        for other in [group for group in groups if group[1] & names]:
            groups.remove(other)
            ids |= other[0]
            names |= other[1]
        groups.append((ids, names))
    return [ids for ids, _ in groups]


@given(listings(), st.integers(8, 80), st.integers(0, 3))
def test_a_sample_takes_whole_groups_and_about_the_limit(candidates: list[Candidate], limit: int, seed: int) -> None:
    drawn = draw_sample(candidates, limit=limit, seed=seed)
    groups = groups_of(candidates)
    assert all(group <= drawn or not group & drawn for group in groups)
    largest = max(len(group) for group in groups)
    assert min(limit, len(candidates)) <= len(drawn) < limit + largest


@given(listings(), st.integers(8, 40), st.randoms())
def test_the_order_of_the_listing_does_not_matter(
    candidates: list[Candidate], limit: int, shuffler: random.Random
) -> None:
    shuffled = list(candidates)
    shuffler.shuffle(shuffled)
    assert draw_sample(shuffled, limit=limit, seed=7) == draw_sample(candidates, limit=limit, seed=7)


def skewed_listing() -> list[Candidate]:
    """About the challenge's proportions: 5,000 nevi, 40 dermatofibromas, 10 vascular lesions."""
    counts = {Diagnosis.NV: 5000, Diagnosis.MEL: 900, Diagnosis.BCC: 400, Diagnosis.DF: 40, Diagnosis.VASC: 10}
    diagnoses = [diagnosis for diagnosis, count in counts.items() for _ in range(count)]
    return [Candidate(f"ISIC_{number:07d}", diagnosis) for number, diagnosis in enumerate(diagnoses)]


def drawn_classes(limit: int, seed: int = 7) -> Counter[Diagnosis]:
    listing = skewed_listing()
    drawn = draw_sample(listing, limit=limit, seed=seed)
    return Counter(image.diagnosis for image in listing if image.isic_id in drawn)


def test_rare_classes_get_their_floor_and_the_rest_keeps_its_proportions() -> None:
    counts = drawn_classes(1000)
    assert counts.total() == 1000
    assert counts[Diagnosis.VASC] == 10  # all there are
    assert counts[Diagnosis.DF] == GROUPS_PER_CLASS
    assert counts[Diagnosis.NV] / counts[Diagnosis.MEL] == pytest.approx(5000 / 900, rel=0.02)
    assert counts[Diagnosis.MEL] / counts[Diagnosis.BCC] == pytest.approx(900 / 400, rel=0.03)


@pytest.mark.parametrize("limit", [8, 40, 100, 300])
def test_floors_take_about_half_at_most_and_every_class_is_there(limit: int) -> None:
    counts = drawn_classes(limit)
    assert counts.total() == limit
    assert set(counts) == {Diagnosis.NV, Diagnosis.MEL, Diagnosis.BCC, Diagnosis.DF, Diagnosis.VASC}
    assert counts[Diagnosis.DF] + counts[Diagnosis.VASC] <= max(2, 0.4 * limit)


def test_a_seed_decides_and_another_decides_otherwise() -> None:
    listing = skewed_listing()
    one, same, other = (draw_sample(listing, limit=200, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert len(one & other) < 100


def test_a_larger_sample_contains_most_of_a_smaller_one() -> None:
    listing = skewed_listing()
    small, large = (draw_sample(listing, limit=limit, seed=7) for limit in (300, 600))
    assert len(small & large) >= 0.95 * len(small)


def test_no_limit_below_everything_leaves_anything_out() -> None:
    assert len(draw_sample(skewed_listing(), limit=100_000, seed=7)) == 6350
