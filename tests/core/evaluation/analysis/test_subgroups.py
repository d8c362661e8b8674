"""Subgroups: what is printed, and which gaps are found."""

import json

import numpy as np
import pandas as pd
import pytest

from lesion_core.errors import DataError
from lesion_core.evaluation.analysis.gaps import Side, measure_gaps
from lesion_core.evaluation.analysis.results import Subgroups
from lesion_core.evaluation.analysis.subgroups import (
    MAX_VALUES,
    MIN_GROUPS,
    measure_subgroups,
    subgroup_columns,
)
from lesion_core.evaluation.measurement import Scored, estimate_all
from lesion_core.labels import N_CLASSES
from tests.core.evaluation.analysis import models
from tests.core.evaluation.strategies import make_scores


def _simulated(seed: int, n: int = 320, *, right_in_planted: float = 0.75) -> tuple[Scored, list[Side]]:
    """Return pairs of images, right in 3 of 4, and sides of two fields; the first value of one may be worse."""
    random = np.random.default_rng(seed)
    groups = np.arange(n) // 2
    true = random.choice(N_CLASSES, n // 2, p=[0.3, 0.4, *[0.05] * 6])[groups]
    site, sex = random.integers(0, 3, n // 2)[groups], random.integers(0, 2, n // 2)[groups]
    skill = np.where(site == 0, right_in_planted, 0.75)
    is_right = (random.random(n // 2)[groups] < skill) ^ (random.random(n) < 0.1)  # a pair is mostly right together
    called = np.where(is_right, true, (true + random.integers(1, N_CLASSES, n)) % N_CLASSES)
    sides = [Side("site", str(value), site == value) for value in range(3)] + [Side("sex", "0", sex == 0)]
    return Scored(true, models.certain(called), groups), sides


def test_without_gaps_few_reports_name_any() -> None:
    """All hypotheses are true, so the false discovery rate is the share of reports with any discovery."""
    n_reports, n_false = 60, 0
    for seed in range(n_reports):
        gaps = measure_gaps(*_simulated(seed), n_permutations=199, seed=seed)
        assert len(gaps) == 8
        n_false += any(gap.is_found for gap in gaps)
    assert n_false <= 8  # 3 are expected; more than 8 of 60 at 5 % have a chance of 0.3 %


def test_p_values_are_uniform_without_gaps() -> None:
    p = [gap.p for seed in range(60) for gap in measure_gaps(*_simulated(seed), n_permutations=99, seed=seed)[-2:]]
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.15)
    assert min(p) >= 0.01


def test_a_planted_gap_is_found_and_nothing_else() -> None:
    found, n_false = 0, 0
    for seed in range(20):
        gaps = measure_gaps(*_simulated(seed, 640, right_in_planted=0.3), n_permutations=399, seed=seed)
        named = {(gap.field, gap.value): gap for gap in gaps if gap.is_found}
        found += ("site", "0") in named
        n_false += any(field == "sex" for field, _ in named)
        if ("site", "0") in named:
            assert named["site", "0"].difference < -0.1
    assert found >= 18
    assert n_false <= 4


def test_correction_is_over_all_gaps() -> None:
    gaps = measure_gaps(*_simulated(3, right_in_planted=0.5), n_permutations=199, seed=3)
    for gap in gaps:  # Benjamini and Hochberg: the least p times m / rank, of it and of those above it
        above = [p * len(gaps) / (1 + place) for place, p in enumerate(sorted(one.p for one in gaps)) if p >= gap.p]
        assert gap.p_corrected == pytest.approx(min(1, *above))
        assert gap.p_corrected >= gap.p


def test_a_difference_of_class_mix_is_no_gap() -> None:
    """Melanomas are hard for everybody, and one side has mostly melanomas."""
    random = np.random.default_rng(8)
    n = 600
    inside = np.arange(n) < 300
    true = np.where(random.random(n) < np.where(inside, 0.8, 0.2), 0, 2)
    called = np.where(random.random(n) < np.where(true == 0, 0.4, 0.95), true, 1)
    gaps = measure_gaps(
        Scored(true, models.certain(called), np.arange(n)), [Side("site", "x", inside)], n_permutations=399, seed=1
    )
    sensitivity = next(gap for gap in gaps if gap.measure == "malignant sensitivity")
    assert sensitivity.difference < -0.25
    assert sensitivity.expected == pytest.approx(sensitivity.difference, abs=0.08)
    assert sensitivity.p > 0.05


def test_groups_on_both_sides_are_left_out_and_counted() -> None:
    scored, sides = _simulated(1)
    inside = sides[0].inside.copy()
    inside[0] = not inside[0]  # the first pair now lies on both sides
    gap = measure_gaps(scored, [Side("site", "0", inside)], n_permutations=99, seed=1)[0]
    assert gap.n_groups_on_both_sides == 1
    assert gap.n_groups_inside + gap.n_groups_outside == 159


def test_what_cannot_be_tested_is_no_gap() -> None:
    true = np.repeat([0, 1], 50)
    scored = Scored(true, models.certain(true), np.arange(100))
    assert measure_gaps(scored, [Side("site", "x", true == 0)], n_permutations=99, seed=1) == ()


def _table(n: int = 200) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sex": np.where(np.arange(n) % 2, "female", "male"),
            "site": np.where(np.arange(n) < MIN_GROUPS - 1, "palms/soles", "anterior torso"),
            "skin type": "unknown",
        }
    )


def test_small_subgroups_say_so_and_print_nothing() -> None:
    true, probs = make_scores(2, 200)
    found = measure_subgroups(Scored(true, probs, np.arange(200)), _table(), n_bootstrap=100, n_permutations=99)
    small = next(one for one in found.subgroups if one.value == "palms/soles")
    assert small.scores is None
    assert (small.n_images, small.n_groups, small.reason) == (19, 19, "19 groups, at least 20 are needed")
    assert {gap.field for gap in found.gaps} == {"sex"}
    assert found.not_recorded == ("skin type",)
    assert next(row for row in found.rows() if row["subgroup"] == "palms/soles")["balanced accuracy"] == ""
    assert Subgroups.model_validate_json(found.model_dump_json()) == found


def test_groups_count_and_not_images() -> None:
    true, probs = make_scores(2, 200)
    found = measure_subgroups(Scored(true, probs, np.arange(200) // 11), _table(), n_bootstrap=100, n_permutations=99)
    assert all(one.scores is None and one.n_groups <= 19 for one in found.subgroups)
    assert found.gaps == ()


def test_a_subgroup_has_the_numbers_of_its_images_alone() -> None:
    true, probs = make_scores(4, 200)
    prior = np.linspace(1, 2, N_CLASSES)
    scored = Scored(true, probs, np.arange(200), prior / prior.sum())
    found = measure_subgroups(scored, _table(), n_bootstrap=100, seed=3, n_permutations=99)
    female = np.arange(200) % 2 == 1
    alone = Scored(true[female], probs[female], np.arange(200)[female], scored.class_prior)
    expected = estimate_all(alone, n_bootstrap=100, seed=3)
    scores = next(one.scores for one in found.subgroups if one.value == "female")
    assert scores is not None
    assert scores.balanced_accuracy == expected.overall["balanced_accuracy"]
    assert scores.calibration_error == expected.overall["calibration_error"]
    assert scores.melanoma_auc == expected.by_class[0]["auc"]


def _manifest(n: int) -> pd.DataFrame:
    facts = [{"image_type": "dermoscopic", "fitzpatrick_skin_type": "II"}, {"image_type": "TBP tile: close-up"}, {}]
    return pd.DataFrame(
        {
            "isic_id": [f"ISIC_{number:07d}" for number in range(n)],
            "sex": [("female", "male", None)[number % 3] for number in range(n)],
            "site": None,
            "age_years": np.array([0, 29.9, 30, 44, 45, 74, 75, 120, np.nan], np.float32)[np.arange(n) % 9],
            "source": [f"clinic {number:02d}" for number in range(n)],
            "confirm_type": [("histopathology", None)[number % 2] for number in range(n)],
            "raw_metadata": [json.dumps(facts[number % 3]) for number in range(n)],
        }
    )


def test_labels_come_from_the_manifest_in_the_order_of_the_rows() -> None:
    manifest = _manifest(9)
    rows = manifest[["isic_id"]].iloc[::-1].reset_index(drop=True)
    found = subgroup_columns(rows, manifest).iloc[::-1].reset_index(drop=True)
    assert found["age"].tolist() == ["0-29", "0-29", "30-44", "30-44", "45-59", "60-74", "75+", "75+", "unknown"]
    assert found["sex"].tolist() == ["female", "male", "unknown"] * 3
    assert found["site"].unique().tolist() == ["unknown"]
    assert found["confirmation"].tolist()[:2] == ["histopathology", "unknown"]
    assert found["image type"].tolist()[:3] == ["dermoscopic", "TBP tile: close-up", "unknown"]
    assert found["skin type"].tolist()[:3] == ["II", "unknown", "unknown"]
    assert found["source"].tolist() == manifest["source"].tolist()
    with pytest.raises(DataError, match="ISIC_0000008"):
        subgroup_columns(rows, manifest[:8])


def test_rare_values_are_taken_together() -> None:
    manifest = _manifest(40)
    manifest.loc[:19, "source"] = "clinic 00"
    found = subgroup_columns(manifest[["isic_id"]], manifest)["source"]
    assert found.nunique() == MAX_VALUES
    assert found.value_counts()["clinic 00"] == 20
    assert f"{21 - MAX_VALUES + 1} rarer values together" in set(found)
