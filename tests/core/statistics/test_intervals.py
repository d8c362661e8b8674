import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from lesion_core.errors import DataError
from lesion_core.statistics import metrics
from lesion_core.statistics.calibration import apply_temperature
from lesion_core.statistics.estimates import (
    Estimate,
    area_estimate,
    mean_estimate,
    newcombe_interval,
    overlap_estimate,
    paired_share_interval,
    plain_mean_estimate,
    plain_order_estimate,
    share_estimate,
    wilson_interval,
)
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.intervals import draw_groups, group_codes, measure, strata_of
from lesion_core.statistics.paired import paired_difference
from lesion_core.statistics.rank_intervals import resample_ranking
from tests.core.evaluation.strategies import calibrated_logits, make_scores, seeds


def test_resamples_equal_those_taken_image_by_image() -> None:
    """The matrix product gives what collecting the drawn groups' images and measuring them gives."""
    true, probs = make_scores(3, 120)
    groups = np.random.default_rng(3).integers(0, 40, 120)
    fast = measure(true, probs, groups, n_bootstrap=25, seed=5)
    ranks = resample_ranking(true, probs, groups, n_bootstrap=25, seed=5)
    codes = group_codes(groups)
    drawn = np.concatenate(list(draw_groups(strata_of(true, codes), 25, 5)))
    for number, times in enumerate(drawn):
        weights = times[codes]
        confusion = np.zeros((8, 8))
        np.add.at(confusion, (true, probs.argmax(axis=1)), weights)
        bins = metrics.reliability_bin(probs)
        surplus = (probs.max(axis=1) - (probs.argmax(axis=1) == true)) * weights
        expected = {
            "balanced_accuracy": metrics.balanced_accuracy_of(confusion),
            "malignant_sensitivity": metrics.malignant_rates(confusion)[0],
            "brier": np.average(metrics.brier_terms(true, probs), weights=weights),
            "log_loss": np.average(metrics.log_loss_terms(true, probs), weights=weights),
            "calibration_error": np.abs(np.bincount(bins, surplus)).sum() / weights.sum(),
        }
        for name, value in expected.items():
            assert fast.draws[name][number] == pytest.approx(float(value)), name
        for place in range(8):
            area = roc_auc_score(true == place, probs[:, place], sample_weight=weights)
            assert ranks.by_class.auc[number, place] == pytest.approx(area, rel=1e-12)
            precision = average_precision_score(true == place, probs[:, place], sample_weight=weights)
            assert ranks.by_class.average_precision[number, place] == pytest.approx(precision, rel=1e-12)
        for place, (name, members) in enumerate(metrics.SUMS.items()):
            truth, called = np.isin(true, members), metrics.summed_probability(probs, members) >= 0.5
            shares = [
                np.average(called[truth], weights=weights[truth]),
                np.average(~called[~truth], weights=weights[~truth]),
            ]
            for rate, share in zip(("sensitivity", "specificity"), shares, strict=True):
                assert fast.draws[f"{name}_sum_{rate}"][number] == pytest.approx(share), (name, rate)
            area = roc_auc_score(truth, metrics.summed_probability(probs, members), sample_weight=weights)
            assert ranks.sums.auc[number, place] == pytest.approx(area, rel=1e-12)
        alarms, found, _ = roc_curve(
            true == metrics.MELANOMA_INDEX, probs[:, metrics.MELANOMA_INDEX], sample_weight=weights
        )
        best = ranks.by_class.sensitivity_at[0.8][number, metrics.MELANOMA_INDEX]
        assert best == pytest.approx(found[alarms <= 0.2 + 1e-9].max())


@pytest.mark.parametrize("n", [2, 5, 40])
def test_resamples_of_few_groups_vary_as_much_as_their_mean_does(n: int) -> None:
    """The variance of a mean of n groups is s^2 / n, s^2 unbiased; n draws of n give (n - 1) / n of it."""
    values = np.random.default_rng(n).normal(size=n)
    drawn = np.concatenate(list(draw_groups(np.zeros(n, int), 40_000, 3)))
    assert (drawn @ values / n).var() == pytest.approx(values.var(ddof=1) / n, rel=0.03)


def test_ranking_with_ties_and_an_absent_class() -> None:
    true, probs = make_scores(4, 90, classes=7)
    probs = probs.round(1)
    everybody = resample_ranking(true, probs, np.zeros(90), n_bootstrap=2, seed=1)
    np.testing.assert_allclose(everybody.by_class.auc[0], metrics.class_aucs(true, probs))
    assert np.isnan(everybody.by_class.auc[:, 7]).all()
    assert np.isnan(everybody.by_class.sensitivity_at[0.8][:, 7]).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=40), seeds)
def test_whole_groups_are_drawn_and_each_class_keeps_its_weight(true: list[int], seed: int) -> None:
    class_index = np.array(true)
    codes = group_codes(np.random.default_rng(seed).integers(0, 12, len(true)))
    strata = strata_of(class_index, codes)
    for drawn in draw_groups(strata, 5, seed):
        assert drawn.shape == (5, len(strata))
        for stratum in np.unique(strata):
            np.testing.assert_allclose(drawn[:, strata == stratum].sum(axis=1), (strata == stratum).sum())
    for group, stratum in enumerate(strata):  # a group counts for a class that it holds
        assert stratum in class_index[codes == group]


def test_a_mixed_group_counts_for_its_rarest_class() -> None:
    true = np.array([1, 1, 1, 1, 5])
    assert strata_of(true, np.array([0, 0, 1, 2, 2])).tolist() == [1, 1, 5]


def test_images_of_one_lesion_make_the_interval_wider() -> None:
    true, probs = make_scores(8, 400)
    repeated = np.repeat(np.arange(400), 5)  # five photographs of each lesion, all alike
    alone = measure(true, probs, np.arange(400), n_bootstrap=400, seed=7).estimate("balanced_accuracy")
    grouped = measure(true[repeated], probs[repeated], repeated, n_bootstrap=400, seed=7).estimate(
        "balanced_accuracy"
    )
    naive = measure(true[repeated], probs[repeated], np.arange(2000), n_bootstrap=400, seed=7).estimate(
        "balanced_accuracy"
    )
    assert _width(grouped) == pytest.approx(_width(alone), rel=0.05)
    assert _width(naive) < 0.6 * _width(grouped)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """200 test sets of 30 lesions a class from a model whose balanced accuracy is 0.6 exactly."""
    random = np.random.default_rng(11)
    n_covered = 0
    for trial in range(200):
        true = np.repeat(np.arange(8), 30)
        right = random.random(len(true)) < 0.6
        probs = np.full((len(true), 8), 0.05)
        probs[np.arange(len(true)), np.where(right, true, (true + 1) % 8)] = 0.65
        found = measure(true, probs, np.arange(len(true)), n_bootstrap=200, seed=trial).estimate("balanced_accuracy")
        assert found.low is not None
        assert found.high is not None
        n_covered += found.low <= 0.6 <= found.high
    assert 0.88 <= n_covered / 200 <= 0.99


def test_a_seed_repeats_and_another_does_not() -> None:
    true, probs = make_scores(2)
    first, same, other = (
        measure(true, probs, np.arange(len(true)), n_bootstrap=100, seed=seed).estimate("balanced_accuracy")
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other
    assert first.value == other.value


def test_group_names_and_order_do_not_matter() -> None:
    true, probs = make_scores(6)
    groups = np.random.default_rng(6).integers(0, 60, len(true))
    numbered = measure(true, probs, groups, n_bootstrap=50, seed=1).estimate("accuracy")
    named = measure(true, probs, np.array([f"g{group:04d}" for group in groups]), n_bootstrap=50, seed=1)
    assert numbered == named.estimate("accuracy")


def test_the_calibration_error_has_no_interval() -> None:
    """Every resample adds noise to each bin's gap, so percentiles would not even hold the measured error."""
    logits, true = calibrated_logits(5, 400)
    probs = apply_temperature(logits, 1.0)
    resampled = measure(true, probs, np.arange(len(true)), n_bootstrap=300, seed=7)
    assert np.mean(resampled.draws["calibration_error"] > resampled.measured["calibration_error"]) > 0.8
    assert resampled.estimate("calibration_error").low is None


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least one image"):
        measure(np.array([], int), np.zeros((0, 8)), np.array([]), n_bootstrap=10, seed=1)


@pytest.mark.parametrize(
    ("share", "n", "low", "high"), [(0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0), (0.5, 20, 0.2993, 0.7007)]
)
def test_wilson_interval_of_known_cases(share: float, n: int, low: float, high: float) -> None:
    assert wilson_interval(share, n) == pytest.approx((low, high), abs=1e-3)


def test_few_groups_or_all_alike_are_reported_by_wilson() -> None:
    sure = Estimate(value=1.0, low=1.0, high=1.0, method="group bootstrap")
    assert share_estimate(sure, 40).method == "Wilson"
    assert share_estimate(sure, 40).low == pytest.approx(0.912, abs=1e-3)
    some = Estimate(value=0.6, low=0.5, high=0.7, method="group bootstrap")
    assert share_estimate(some, 100) == some
    constant = Estimate(value=0.6, low=0.6, high=0.6 + 1e-15, method="group bootstrap")
    assert share_estimate(constant, 100).method == "Wilson"
    assert share_estimate(some, 99).method == "Wilson"
    unknown = Estimate(value=None)
    assert share_estimate(unknown, 0) == unknown


@pytest.mark.parametrize(
    ("auc", "n_class", "n_others"), [(0.5, 20, 20), (0.9, 10, 90), (0.99, 3, 500), (1.0, 5, 200), (0.0, 5, 200)]
)
def test_newcombes_interval_ends_where_its_own_error_reaches_the_measured_area(
    auc: float, n_class: int, n_others: int
) -> None:
    low, high = newcombe_interval(auc, n_class, n_others)
    assert low <= auc <= high
    assert high - low > 0.1
    for end in (low, high):
        middle = (n_class + n_others) / 2 - 1
        spread = end * (1 - end) * (1 + middle * (1 - end) / (2 - end) + middle * end / (1 + end))
        if end not in (0, 1):
            assert abs(end - auc) == pytest.approx(1.95996 * np.sqrt(spread / (n_class * n_others)), abs=1e-6)
    mirrored = newcombe_interval(1 - auc, n_class, n_others)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_a_perfect_area_of_five_images_is_not_certain() -> None:
    sure = Estimate(value=1.0, low=1.0, high=1.0, method="group bootstrap")
    found = area_estimate(sure, 5, 400)
    assert (found.method, found.high) == ("Newcombe", 1.0)
    assert found.low is not None
    assert found.low < 0.82
    assert area_estimate(sure, 300, 400).method == "Newcombe"  # all resamples agree
    some = Estimate(value=0.9, low=0.85, high=0.94, method="group bootstrap")
    assert area_estimate(some, 200, 400) == some
    constant = Estimate(value=0.5, low=0.5, high=0.5, method="group bootstrap")
    assert area_estimate(constant, 200, 400).method == "Newcombe"
    assert area_estimate(Estimate(value=None), 0, 400) == Estimate(value=None)


def test_an_f1_of_few_groups_is_wilsons_of_its_overlap() -> None:
    some = Estimate(value=0.6, low=0.5, high=0.7, method="group bootstrap")
    low, high = wilson_interval(0.6 / 1.4, 40)
    found = overlap_estimate(some, 40, 12)
    assert (found.low, found.high) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert overlap_estimate(some, 400, 100) == some


def test_what_has_no_formula_has_no_interval_where_resampling_says_too_little() -> None:
    some = Estimate(value=0.6, low=0.5, high=0.7, method="group bootstrap")
    assert plain_order_estimate(some, 100, 100) == some
    assert plain_order_estimate(some, 99, 5000) == Estimate(value=0.6)
    assert plain_order_estimate(some, 5000, 99) == Estimate(value=0.6)
    constant = Estimate(value=0.02, low=0.02, high=0.02, method="group bootstrap")
    assert plain_order_estimate(constant, 500, 500) == Estimate(value=0.02)


def test_a_mean_of_few_groups_has_no_interval() -> None:
    some = Estimate(value=0.6, low=0.5, high=0.7, method="group bootstrap")
    assert plain_mean_estimate(some, 50) == some
    assert plain_mean_estimate(some, 49) == Estimate(value=0.6)


def test_newcombes_paired_interval_of_a_published_case() -> None:
    """Newcombe 1998, table II, method 10: 36 both, 12 and 2 discordant, none neither."""
    both, one, other, neither = 36, 12, 2, 0
    first = np.array([True] * both + [True] * one + [False] * other + [False] * neither)
    second = np.array([True] * both + [False] * one + [True] * other + [False] * neither)
    assert paired_share_interval(first, second, 50) == pytest.approx((0.0569, 0.3404), abs=5e-4)


def test_few_groups_make_a_difference_less_sure_and_the_same_answers_none() -> None:
    true = np.repeat(np.arange(8), 6)
    right, wrong = true.copy(), true.copy()
    wrong[::6] = (true[::6] + 1) % 8  # one of six of each class
    found = paired_difference(true, right, wrong, np.arange(len(true)), n_bootstrap=200).balanced_accuracy.difference
    assert found.value == pytest.approx(1 / 6)
    assert found.method == "combined"
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1 / 6 - 0.05
    assert found.high > 1 / 6 + 0.05
    same = paired_difference(true, right, right, np.arange(len(true)), n_bootstrap=200).balanced_accuracy.difference
    assert (same.low, same.high) == (0, 0)


def test_a_mean_over_classes_is_as_unsure_as_its_parts() -> None:
    parts = [Estimate(value=1.0, low=0.6, high=1.0, method="Wilson"), Estimate(value=0.5, low=0.2, high=0.8)]
    certain = Estimate(value=0.75, low=0.75, high=0.75, method="group bootstrap")
    found = mean_estimate(certain, [*parts, Estimate(value=None)])
    assert found.method == "combined"
    assert found.low == pytest.approx(0.75 - 0.5 * np.hypot(0.4, 0.3))
    assert found.high == pytest.approx(0.75 + 0.5 * 0.3)
    assert mean_estimate(certain, parts[1:]) == certain  # no part is Wilson's
    assert mean_estimate(certain, [*parts, Estimate(value=0.7)]) == Estimate(value=0.75)  # a part has no interval


def test_two_models_on_the_same_images_are_compared_pairwise() -> None:
    true, probs = make_scores(9, 600)
    better = probs.argmax(axis=1)
    worse = np.where(np.arange(600) % 10 == 0, (true + 3) % 8, better)
    groups = np.arange(600) // 2
    found = paired_difference(true, worse, better, groups)
    score = found.balanced_accuracy
    assert score.candidate == pytest.approx(metrics.balanced_accuracy(true, worse))
    assert score.reference == pytest.approx(metrics.balanced_accuracy(true, better))
    assert score.difference.value == pytest.approx(score.candidate - score.reference)
    assert score.difference.high is not None
    assert score.difference.high < 0
    apart = [measure(true, np.eye(8)[one], groups, n_bootstrap=300, seed=7) for one in (worse, better)]
    widths = [_width(one.estimate("balanced_accuracy")) for one in apart]
    assert _width(score.difference) < 0.7 * sum(widths)
    assert found.n_groups == 300


def test_a_model_against_itself_differs_by_nothing() -> None:
    true, probs = make_scores(9)
    predicted = probs.argmax(axis=1)
    found = paired_difference(true, predicted, predicted, np.arange(len(true)), n_bootstrap=50)
    assert found.malignant_sensitivity.difference == Estimate(value=0.0, low=0.0, high=0.0, method="group bootstrap")


def test_models_on_different_images_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="the same images"):
        paired_difference(np.array([0, 1]), np.array([0, 1]), np.array([0]), np.array([0, 1]))


def _width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def test_groups_of_very_unequal_size_do_not_make_the_interval_of_a_share_too_narrow() -> None:
    """One group in twenty has forty images: counted as equal trials, the truth is held in 4 of 5 cases only."""
    random, held, by_formula = np.random.default_rng(5), [], []
    for _ in range(150):
        sizes = random.choice([1, 2, 5, 40], size=60, p=[0.5, 0.25, 0.2, 0.05])
        of_group = np.where(random.random(60) < 0.6, random.random(60) < 0.7, np.nan)  # most groups are all alike
        right = np.concatenate(
            [
                np.full(n, one) if one == one else random.random(n) < 0.7
                for n, one in zip(sizes, of_group, strict=True)
            ]
        )
        groups = np.repeat(np.arange(60), sizes)
        means = GroupMeans(np.zeros(len(groups), int), groups, n_bootstrap=200, seed=7)
        found = means.share(right.astype(bool))
        low, high = wilson_interval(float(right.mean()), 60)  # counting groups, whatever their size
        held.append(found.low <= 0.7 <= found.high)
        by_formula.append(low <= 0.7 <= high)
    assert np.mean(by_formula) < 0.88
    assert np.mean(held) >= 0.90
