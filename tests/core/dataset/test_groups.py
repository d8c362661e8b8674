"""Groups: everything joined by evidence is together, and nothing else is."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.dataset.splitting.groups import group_images
from tests.core.dataset.snapshots import frame, image_row

IDS = st.one_of(st.none(), st.sampled_from(["A", "B", "C", "D"]))


def rows_of(evidence: list[dict[str, Any]]) -> pd.DataFrame:
    return frame([image_row(number, b"%d" % number, **facts) for number, facts in enumerate(evidence)])


def by_hand(images: pd.DataFrame, pairs: list[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Merge sets until nothing changes."""
    sets = [{one, other} for one, other in pairs] + [{isic_id} for isic_id in images["isic_id"]]
    for column in ("patient_id", "lesion_id", "sha256"):
        sets += [set(part["isic_id"]) for _, part in images.groupby(column)]
    changed = True
    while changed:
        changed = False
        for one in sets:
            for other in sets:
                if one is not other and one & other and not other <= one:
                    one |= other
                    changed = True
    return {isic_id: frozenset(max((s for s in sets if isic_id in s), key=len)) for isic_id in images["isic_id"]}


@given(
    evidence=st.lists(st.fixed_dictionaries({"patient_id": IDS, "lesion_id": IDS}), min_size=1, max_size=14),
    links=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=3),
    data=st.data(),
)
def test_groups_are_the_closure_of_the_evidence_in_any_order(
    evidence: list[dict[str, Any]], links: list[tuple[int, int]], data: st.DataObject
) -> None:
    images = rows_of(evidence)
    pairs = [
        (images["isic_id"][one], images["isic_id"][other]) for one, other in links if max(one, other) < len(images)
    ]
    groups = group_images(images, pairs)
    expected = by_hand(images, pairs)
    assert {isic_id: min(expected[isic_id]) for isic_id in images["isic_id"]} == dict(
        zip(images["isic_id"], groups, strict=True)
    )
    order = data.draw(st.permutations(range(len(images))))
    shuffled = images.iloc[order]
    pd.testing.assert_series_equal(group_images(shuffled, pairs).sort_index(), groups)


def test_a_missing_id_joins_nobody() -> None:
    groups = group_images(rows_of([{"lesion_id": None, "patient_id": None}] * 4))
    assert groups.nunique() == 4


def test_a_chain_of_different_evidence_joins_its_ends() -> None:
    images = rows_of(
        [
            {"patient_id": "P"},
            {"patient_id": "P", "lesion_id": "L"},
            {"lesion_id": "L", "sha256": "e" * 64},
            {"sha256": "e" * 64},
            {},
        ]
    )
    groups = group_images(images, [("ISIC_0000003", "ISIC_0000004")])
    assert set(groups) == {"ISIC_0000000"}


def test_the_same_word_as_patient_and_as_lesion_is_not_the_same_evidence() -> None:
    assert group_images(rows_of([{"patient_id": "X"}, {"lesion_id": "X"}])).nunique() == 2


def test_a_pair_of_unknown_images_is_refused() -> None:
    with pytest.raises(KeyError, match="ISIC_9"):
        group_images(rows_of([{}]), [("ISIC_0000000", "ISIC_9")])
