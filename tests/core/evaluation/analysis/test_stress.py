"""Stress: models of which it is known what moves them."""

import numpy as np
import pytest

from lesion_core.errors import DataError
from lesion_core.evaluation.analysis.perturbations import PERTURBATIONS
from lesion_core.evaluation.analysis.results import Stress, StressRow
from lesion_core.evaluation.analysis.stress import choose_images, measure_stress
from lesion_core.labels import N_CLASSES
from lesion_core.progress import Progress
from tests.core.evaluation.analysis import models

N = 24
TRUE = (np.arange(N) + 1) % 2  # odd places are dark, and melanoma
ROWS = models.make_rows(TRUE)
STEPS = [(name, place + 1) for name, one in PERTURBATIONS.items() for place in range(len(one.amounts))]


def _measure(model, **options) -> Stress:  # type: ignore[no-untyped-def]
    scored = models.scored_by(model, TRUE, ROWS)
    return measure_stress(scored, ROWS, predict=model, pixels=models.grey_pixels, n_bootstrap=100, **options)


@pytest.fixture(scope="module")
def by_brightness() -> Stress:
    return _measure(models.of_brightness)


def _by_step(found: Stress) -> dict[tuple[str, int], StressRow]:
    return {(row.perturbation, row.severity): row for row in found.rows_by_change}


def test_a_constant_model_never_moves() -> None:
    found = _measure(models.constant, max_images=8)
    assert list(_by_step(found)) == STEPS
    for row in found.rows_by_change:
        assert row.flips.value == row.malignant_flips.value == 0
        assert row.malignant_change.value == row.leading_change.value == 0
        assert row.balanced_accuracy.difference.value == 0


def test_a_model_of_brightness_flips_under_brightness_and_not_under_turns(by_brightness: Stress) -> None:
    rows = _by_step(by_brightness)
    assert rows["turn", 1].flips.value == rows["turn", 3].flips.value == rows["mirror", 1].flips.value == 0
    assert rows["turn", 2].leading_change.value == pytest.approx(0)
    dark = rows["darker", 2]  # 146 and 110 become 102 and 77: all are melanoma now
    assert dark.flips.value == dark.malignant_flips.value == 0.5
    assert dark.malignant_sensitivity.candidate == 1
    assert dark.balanced_accuracy.reference == 1
    assert dark.balanced_accuracy.difference.value == -0.5
    high = dark.balanced_accuracy.difference.high
    assert high is not None
    assert high < 0
    assert rows["brighter", 2].malignant_sensitivity.candidate == 0


def test_changes_are_absolute_means_over_images(by_brightness: Stress) -> None:
    model, pixels = models.of_brightness, models.grey_pixels(ROWS)
    before, after = model(pixels, {}), model(np.rint(pixels * 0.85).astype(np.uint8), {})
    row = _by_step(by_brightness)["darker", 1]
    assert row.malignant_change.value == pytest.approx(np.abs(after - before)[:, 0].mean(), rel=1e-4)
    lead = np.abs(after - before)[np.arange(N), before.argmax(axis=1)].mean()
    assert row.leading_change.value == pytest.approx(lead, rel=1e-4)
    assert row.malignant_change.low is None  # 24 groups are too few for the interval of a mean
    assert row.flips.method == "Wilson"


def test_a_part_is_changed_and_said_and_each_batch_is_told() -> None:
    told: list[Progress] = []
    found = _measure(models.constant, max_images=8, on_progress=told.append)
    assert (found.n_images, found.n_images_of, found.images_by_class) == (8, N, {"MEL": 4, "NV": 4})
    assert {one.stage for one in told} == {"stress"}
    assert told[-1].done == told[-1].total == 8 * len(STEPS)
    assert _measure(models.constant, max_images=8) == found
    assert Stress.model_validate_json(found.model_dump_json()) == found
    assert len(found.rows()) == len(STEPS)


def test_images_are_chosen_as_whole_groups_with_the_classes_in_turn() -> None:
    random = np.random.default_rng(5)
    true = np.concatenate([np.full(900, 1), random.integers(0, N_CLASSES, 300)])
    groups = np.array(
        [f"{of_class}-{number}" for of_class, number in zip(true, random.integers(0, 90, 1200), strict=True)]
    )
    chosen = choose_images(true, groups, max_images=200, seed=1)
    assert 190 < len(chosen) <= 200
    assert not set(groups[chosen]) & set(np.delete(groups, chosen))
    n_groups = [len(set(groups[chosen][true[chosen] == place])) for place in range(N_CLASSES)]
    assert max(n_groups) - min(n_groups) <= 2
    np.testing.assert_array_equal(chosen, choose_images(true, groups, max_images=200, seed=1))
    assert set(chosen) != set(choose_images(true, groups, max_images=200, seed=2))
    order = random.permutation(1200)
    turned = order[choose_images(true[order], groups[order], max_images=200, seed=1)]
    assert set(turned) == set(chosen)
    assert len(choose_images(true, groups, max_images=5000, seed=1)) == 1200


def test_one_group_of_all_is_refused() -> None:
    scored = models.scored_by(models.constant, TRUE, ROWS, np.zeros(N, int))
    with pytest.raises(DataError, match="at most 20 images"):
        measure_stress(scored, ROWS, predict=models.constant, pixels=models.grey_pixels, max_images=20)
    with pytest.raises(DataError, match="24 scored images, got 2"):
        measure_stress(scored, ROWS[:2], predict=models.constant, pixels=models.grey_pixels)
