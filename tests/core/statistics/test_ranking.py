"""Areas and rates of ranked scores, against scikit-learn and by hand; with ties, and resampled by group."""

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion_core.labels import CLASS_ORDER
from lesion_core.statistics import metrics
from lesion_core.statistics.rank_intervals import estimate_area, measure_ranking
from lesion_core.statistics.ranking import SENSITIVITIES, SPECIFICITIES, Ranked, Ranks
from tests.core.evaluation.strategies import make_scores, seeds

quick = settings(max_examples=60, deadline=None)


@st.composite
def weighted(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, scores with many ties, groups and what each group weighs; something to find, and something else."""
    n, seed = draw(st.integers(4, 60)), draw(seeds)
    random = np.random.default_rng(seed)
    truth = random.random(n) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    truth[:2] = True, False
    scores = random.integers(0, draw(st.sampled_from([2, 6, 1000])), n) / 1000
    groups = random.integers(0, n, n)
    weights = random.integers(0, 4, n).astype(float)
    weights[groups[:2]] = 1.0
    return truth, scores, groups, weights


@quick
@given(weighted())
def test_areas_and_rates_agree_with_scikit_learn(case: tuple[np.ndarray, ...]) -> None:
    truth, scores, groups, weights = case
    of_image = weights[groups]
    found = Ranked.of(truth, scores, groups, len(weights)).measure(weights[:, None])
    kept, near = of_image > 0, {"rel": 1e-12, "abs": 1e-12}
    truth, scores, of_image = truth[kept], scores[kept], of_image[kept]
    area = reference.roc_auc_score(truth, scores, sample_weight=of_image)
    assert found.auc.item() == pytest.approx(area, **near)
    precision = reference.average_precision_score(truth, scores, sample_weight=of_image)
    assert found.average_precision.item() == pytest.approx(precision, **near)
    assert found.partial_auc.item() == pytest.approx(_partial_auc(truth, scores, of_image), **near)
    alarms, hits, _ = reference.roc_curve(truth, scores, sample_weight=of_image, drop_intermediate=False)
    for level in SPECIFICITIES:
        assert found.sensitivity_at[level].item() == pytest.approx(hits[1 - alarms >= level - 1e-9].max(), **near)
    for level in SENSITIVITIES:
        assert found.specificity_at[level].item() == pytest.approx((1 - alarms)[hits >= level - 1e-9].max(), **near)


def _partial_auc(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return the score of ISIC 2024 as its organisers compute it: by the complement, and McClish's scaling undone."""
    widest = 1 - 0.8
    scaled = reference.roc_auc_score(~truth, -scores, max_fpr=widest, sample_weight=weights)
    return 0.5 * widest**2 + (widest - 0.5 * widest**2) / (1.0 - 0.5) * (scaled - 0.5)


@quick
@given(seeds)
def test_every_class_and_sum_is_ranked_by_its_own_probability(seed: int) -> None:
    true, probs = make_scores(seed, 80)
    found = measure_ranking(true, probs)
    np.testing.assert_allclose(found.by_class.auc[0], metrics.class_aucs(true, probs), rtol=1e-12)
    for place, name in enumerate(CLASS_ORDER):
        precision = reference.average_precision_score(true == place, probs[:, place])
        assert found.by_class.average_precision[0, place] == pytest.approx(precision, rel=1e-12), name
    for place, classes in enumerate((["MEL", "BCC", "SCC"], ["MEL", "BCC", "AK", "SCC"])):
        members = [CLASS_ORDER.index(name) for name in classes]
        summed = probs[:, members].astype(np.float64).sum(axis=1)
        area = reference.roc_auc_score(np.isin(true, members), summed)
        assert found.sums.auc[0, place] == pytest.approx(area, rel=1e-12)


def test_a_curve_by_hand() -> None:
    """Two to find at 0.9 and 0.4, five others, of which two lie between and one ties with the second."""
    truth = np.array([True, False, False, True, False, False, False])
    scores = np.array([0.9, 0.8, 0.7, 0.4, 0.4, 0.2, 0.1])
    found = _of(truth, scores)
    assert found.auc.item() == pytest.approx((5 + 2.5) / 10)
    assert found.average_precision.item() == pytest.approx(0.5 * 1 + 0.5 * 2 / 5)
    # From sensitivity 0.8 to 1 the curve goes straight from (2.6/5, 0.8) to (3/5, 1); then 2/5 at the full 0.2.
    assert found.partial_auc.item() == pytest.approx(0.5 * 0.08 * 0.2 + 0.4 * 0.2)
    assert found.sensitivity_at[0.8].item() == 0.5
    assert found.specificity_at[0.8].item() == pytest.approx(2 / 5)  # nothing is interpolated


def test_sensitivity_is_none_where_the_first_score_raises_too_many_alarms() -> None:
    found = _of(np.array([False, True, False, False]), np.array([0.9, 0.8, 0.1, 0.1]))
    assert found.sensitivity_at[0.8].item() == 0.0
    assert found.specificity_at[0.95].item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("truth", [np.ones(3, bool), np.zeros(3, bool)])
def test_nothing_is_known_without_both_kinds(truth: np.ndarray) -> None:
    for values in _values(_of(truth, np.array([0.1, 0.2, 0.3]))):
        assert np.isnan(values).all()
        assert values.shape == (1, 1)


def test_a_resample_that_lost_one_kind_is_not_known() -> None:
    ranked = Ranked.of(np.array([True, False, True]), np.array([0.3, 0.2, 0.1]), np.array([0, 1, 2]), 3)
    weights = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 2.0, 1.0]])  # groups in rows, resamples in columns
    for values in _values(ranked.measure(weights)):
        assert np.isnan(values[:2]).all()
        assert not np.isnan(values[2]).any()


@quick
@given(seeds)
def test_what_keeps_the_order_keeps_the_numbers(seed: int) -> None:
    true, probs = make_scores(seed, 60)
    truth, scores = true == 0, probs[:, 0].astype(np.float64)
    plain = _values(_of(truth, scores))
    np.testing.assert_allclose(plain, _values(_of(truth, np.log(scores) * 3 - 7)), rtol=1e-12)
    mirrored = _of(~truth, -scores)
    assert mirrored.auc == pytest.approx(_of(truth, scores).auc, rel=1e-12)


def test_a_long_list_is_summed_like_a_short_one() -> None:
    """Running sums go in blocks of about the square root of their length."""
    random = np.random.default_rng(3)
    truth, scores = random.random(2500) < 0.4, random.random(2500)
    found = _of(truth, scores)
    assert found.auc.item() == pytest.approx(reference.roc_auc_score(truth, scores), rel=1e-12)
    assert found.average_precision.item() == pytest.approx(
        reference.average_precision_score(truth, scores), rel=1e-12
    )


def _of(truth: np.ndarray, scores: np.ndarray) -> Ranks:
    return Ranked.of(truth, scores, np.zeros(len(truth), int), 1).measure(np.ones((1, 1)))


def _values(found: Ranks) -> list[np.ndarray]:
    areas = [found.auc, found.average_precision, found.partial_auc]
    return [*areas, *found.sensitivity_at.values(), *found.specificity_at.values()]


def test_one_scores_area_is_scikit_learns_and_known_only_with_both_sides() -> None:
    random = np.random.default_rng(4)
    sought, groups = random.random(300) < 0.3, np.arange(300) // 2
    scores = np.round(random.random(300) + 0.4 * sought, 2)  # with ties
    found = estimate_area(sought, scores, groups, n_bootstrap=200, seed=1)
    assert found.value == pytest.approx(reference.roc_auc_score(sought, scores), abs=1e-12)
    assert found.method == "Newcombe"  # few groups on a side
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert estimate_area(np.ones(5, bool), np.arange(5.0), np.arange(5), n_bootstrap=100, seed=1).value is None
