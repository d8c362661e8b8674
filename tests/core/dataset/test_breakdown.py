"""What a dataset holds by class, against counts by hand."""

import json

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from lesion_core.dataset.breakdown import Breakdown, break_down, sizes_by_class
from lesion_core.dataset.summary import RECORDED_FIELDS
from lesion_core.fields.table import AGE
from lesion_core.labels import CLASS_ORDER
from lesion_core.types import LICENCE_ORDER
from tests.core.dataset.snapshots import frame, image_row

ROWS = [
    image_row(0, b"0", diagnosis="MEL", age_years=None, sex=None, site=None, licence="CC-BY-NC", attribution="B"),
    image_row(1, b"1", diagnosis="MEL", age_years=0.0, sex="male", site="head/neck", width=200, height=150),
    image_row(2, b"2", diagnosis="NV", age_years=4.0, sex="female", site=None, lesion_id="IL_1", confirm_type=None),
    image_row(3, b"3", diagnosis="NV", age_years=95.0, sex="female", site="palms/soles", attribution="B"),
]


def by(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(str(name), 0) for name in CLASS_ORDER)


def test_counts_are_those_by_hand() -> None:
    found = break_down(frame(ROWS))
    assert found.images == by(MEL=2, NV=2)
    assert found.values["sex"] == {"female": by(NV=2), "male": by(MEL=1), "unknown": by(MEL=1)}
    assert found.values["site"]["head/neck"] == by(MEL=1)
    assert found.values["site"]["unknown"] == by(MEL=1, NV=1)
    assert list(found.values["licence"]) == list(LICENCE_ORDER)  # no image lacks one
    assert found.missing["age_years"] == by(MEL=1)
    assert found.missing["confirm_type"] == by(NV=1)
    assert found.missing["lesion_id"] == by(MEL=2, NV=1)
    assert set(found.missing) == set(RECORDED_FIELDS)
    assert [ages[0] for ages in found.ages[:2]] == [1, 1]  # 0 and 4 years fall into the first five
    assert found.ages[CLASS_ORDER.index("NV")][AGE.n_bins - 1] == 1  # type: ignore[arg-type]
    assert [(one.width, one.height, sum(one.images)) for one in found.sizes] == [(96, 72, 3), (200, 150, 1)]
    assert [(one.attribution, one.licence, one.n_images) for one in found.credits] == [
        ("Anonymous", "CC-0", 2),
        ("B", "CC-0", 1),
        ("B", "CC-BY-NC", 1),
    ]


def test_placeholders_and_manipulations_are_what_the_archive_states() -> None:
    stated = [{"patient_id": "0"}, {"patient_id": 0}, {"patient_id": "IP_1", "lesion_id": "NA"}, {}]
    stated = [{**facts, "image_manipulation": "altered"} if n else facts for n, facts in enumerate(stated)]
    ids = [None, None, "IP_1", None]
    rows = [
        {**row, "patient_id": patient, "lesion_id": None, "raw_metadata": json.dumps(facts)}
        for row, facts, patient in zip(ROWS, stated, ids, strict=True)
    ]
    found = break_down(frame(rows))
    assert found.placeholders == {"patient_id": {"0": 2}, "lesion_id": {"NA": 1}}
    assert found.manipulations == {"altered": 3}
    assert break_down(frame(ROWS)).placeholders == {"patient_id": {}, "lesion_id": {}}


def test_a_missing_age_is_in_no_bin() -> None:
    """Nothing is filled in: what is known and what is missing add up to the images."""
    found = break_down(frame(ROWS))
    known = np.array(found.ages).sum(axis=1) + np.array(found.missing["age_years"])
    assert tuple(known.tolist()) == found.images


def test_it_is_plain_json() -> None:
    found = break_down(frame(ROWS))
    assert Breakdown.model_validate(json.loads(found.model_dump_json())) == found


@given(
    st.lists(
        st.tuples(st.sampled_from(CLASS_ORDER), st.sampled_from([None, "female"]), st.sampled_from([96, 200, 3000])),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_every_image_is_counted_once_whatever_the_order(rows, random) -> None:  # type: ignore[no-untyped-def]
    made = [
        image_row(n, b"x", diagnosis=str(name), sex=sex, width=width) for n, (name, sex, width) in enumerate(rows)
    ]
    found = break_down(frame(made))
    random.shuffle(made)
    assert break_down(frame(made)) == found
    for values in found.values.values():
        assert tuple(np.sum(list(values.values()), axis=0).tolist()) == found.images
    assert sum(sum(one.images) for one in found.sizes) == sum(found.images) == len(rows)


def test_many_sizes_are_counted_and_the_most_frequent_named() -> None:
    one = frame([image_row(0, b"0", diagnosis="MEL")])
    many = pd.concat([one.assign(width=100 + number) for number in range(60)] + [one.assign(width=7)] * 2)
    found = break_down(many)
    assert found.n_sizes == 61
    assert found.sizes[0].width == 7
    assert len(found.sizes) < 61
    sizes, images = sizes_by_class(many)
    assert sizes.shape == (61, 2)
    assert images.sum() == 62
