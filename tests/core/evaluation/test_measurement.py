"""Every number of a report: what theory says of some predictors, what changes nothing, and older reports."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion_core.evaluation.measurement import Estimates, Scored, estimate_all, measure_scores
from lesion_core.evaluation.report import Metrics, Subject
from lesion_core.labels import CLASS_ORDER, N_CLASSES
from lesion_core.statistics.decision_curve import decision_curve
from lesion_core.statistics.measures import BY_NAME, CLASS_MEASURES, MEASURES
from lesion_core.statistics.metrics import MALIGNANT_INDICES
from lesion_core.statistics.rank_intervals import measure_ranking
from tests.core.evaluation.strategies import make_scores, seeds

MEL, NV, BCC, AK, SCC = (CLASS_ORDER.index(name) for name in ("MEL", "NV", "BCC", "AK", "SCC"))
COUNTS = np.array([12, 30, 14, 6, 9, 5, 4, 8])
TRUE = np.repeat(np.arange(N_CLASSES), COUNTS)
SHARES = COUNTS / len(TRUE)
NEW_FIELDS = ("confusion_by_row", "predictive_values", "decision_curve")


def measured(true: np.ndarray, probs: np.ndarray, groups: np.ndarray | None = None) -> Estimates:
    groups = np.arange(len(true)) if groups is None else groups
    return estimate_all(Scored(true, probs, groups), n_bootstrap=2, seed=7)


def values(found: Estimates) -> dict[str, float]:
    """Return every number, NaN where it is not known, classes by 'MEL sensitivity'."""
    numbers = {name: one.value for name, one in found.overall.items()}
    for name, by_name in zip(CLASS_ORDER, found.by_class, strict=True):
        numbers |= {f"{name} {measure}": one.value for measure, one in by_name.items()}
    return {name: math.nan if value is None else value for name, value in numbers.items()}


def test_a_perfect_model_has_the_best_of_every_number() -> None:
    found = values(measured(TRUE, np.eye(N_CLASSES)[TRUE]))
    best = dict.fromkeys(found, 1.0) | {"brier": 0.0, "log_loss": 0.0, "calibration_error": 0.0}
    best |= {name: 0.2 for name in found if "partial_auc" in name}
    assert found == pytest.approx(best, abs=1e-9)


def test_a_model_that_is_always_wrong_has_the_worst_of_every_order() -> None:
    """It gives the truth the lowest probability of all."""
    probs = (1 - np.eye(N_CLASSES)[TRUE]) / (N_CLASSES - 1)
    found = values(measured(TRUE, probs))
    for name in CLASS_ORDER:
        assert [found[f"{name} {area}"] for area in ("auc", "partial_auc", "sensitivity")] == [0, 0, 0]
    assert found["balanced_accuracy"] == found["accuracy"] == found["macro_auc"] == 0
    assert found["melanoma_specificity_at_80_sensitivity"] == 0
    assert found["melanoma_sensitivity_at_80_specificity"] == 0


@pytest.mark.parametrize("answer", [MEL, NV])
def test_a_model_that_always_answers_the_same_is_as_good_as_a_guess(answer: int) -> None:
    row = np.full(N_CLASSES, 0.04)
    row[answer] = 0.72
    found = values(measured(TRUE, np.tile(row, (len(TRUE), 1))))
    here = row * SHARES / (row * SHARES).sum()
    is_malignant = answer in MALIGNANT_INDICES
    expected = {
        "balanced_accuracy": 1 / N_CLASSES,
        "accuracy": SHARES[answer],
        "macro_f1": 2 * SHARES[answer] / (1 + SHARES[answer]) / N_CLASSES,
        "macro_auc": 0.5,
        "macro_pr_auc": SHARES.mean(),
        "macro_partial_auc": 0.02,  # the triangle above 0.8 under the diagonal
        "malignant_sensitivity": float(is_malignant),
        "malignant_specificity": float(not is_malignant),
        "brier": ((here**2).sum() - 2 * (here * SHARES).sum() + 1),
        "log_loss": -(SHARES * np.log(here)).sum(),
        "calibration_error": abs(here.max() - SHARES[here.argmax()]),
    }
    for name in ("malignant", "malignant_or_ak"):
        expected[f"{name}_auc"] = 0.5
        expected[f"{name}_sum_sensitivity"] = float(is_malignant)
        expected[f"{name}_sum_specificity"] = float(not is_malignant)
    # All scores tie: to find anything is to call everything.
    expected |= {name: 0.0 for name in BY_NAME if "_at_" in name}
    assert set(expected) == set(BY_NAME)
    for place, name in enumerate(CLASS_ORDER):
        is_answer = place == answer
        share = SHARES[place]
        of_class = {
            "sensitivity": float(is_answer),
            "specificity": float(not is_answer),
            "precision": share if is_answer else math.nan,
            "npv": math.nan if is_answer else 1 - share,
            "f1": 2 * share / (1 + share) if is_answer else 0.0,
            "auc": 0.5,
            "pr_auc": share,
            "partial_auc": 0.02,
        }
        assert set(of_class) == {one.name for one in CLASS_MEASURES}
        expected |= {f"{name} {measure}": value for measure, value in of_class.items()}
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_random_scores_are_as_good_as_a_guess() -> None:
    random = np.random.default_rng(4)
    true = random.choice(N_CLASSES, 20_000, p=SHARES)
    found = measure_ranking(true, random.dirichlet(np.ones(N_CLASSES), 20_000))
    assert found.by_class.auc[0] == pytest.approx(0.5, abs=0.03)
    assert found.by_class.average_precision[0] == pytest.approx(SHARES, abs=0.02)
    assert found.by_class.partial_auc[0] == pytest.approx(0.02, abs=0.006)
    for level, rates in found.by_class.sensitivity_at.items():
        assert rates[0] == pytest.approx(1 - level, abs=0.05)
    for level, rates in found.by_class.specificity_at.items():
        assert rates[0] == pytest.approx(1 - level, abs=0.05)
    assert found.sums.auc[0] == pytest.approx(0.5, abs=0.02)


def test_the_summed_probability_finds_what_no_leading_class_shows() -> None:
    """Three cancers at 0.2 each against a nevus at 0.4: benign by the leading class, malignant by the sum."""
    probs = np.zeros((2, N_CLASSES))
    probs[:, [MEL, BCC, SCC]], probs[:, NV] = 0.2, 0.4
    probs[1] = [0.1, 0.4, 0.1, 0.4, 0, 0, 0, 0]  # with actinic keratosis added 0.6, without 0.2
    found = values(measured(np.array([MEL, NV]), probs))
    assert (found["malignant_sensitivity"], found["malignant_sum_sensitivity"]) == (0, 1)
    assert (found["malignant_sum_specificity"], found["malignant_or_ak_sum_specificity"]) == (1, 0)


def _rounded(probs: np.ndarray) -> np.ndarray:
    """Return probabilities with many ties."""
    some = probs.astype(np.float64).round(1) + 0.01
    return some / some.sum(axis=1, keepdims=True)


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(1, N_CLASSES))
def test_order_of_images_and_images_twice_change_nothing(seed: int, classes: int) -> None:
    true, probs = make_scores(seed, 60, classes=classes)
    probs = _rounded(probs)
    groups = np.random.default_rng(seed).integers(0, 25, 60)
    plain, order = measured(true, probs, groups), np.random.default_rng(seed).permutation(60)
    shuffled = measured(true[order], probs[order], groups[order])
    assert values(shuffled) == pytest.approx(values(plain), rel=1e-9, abs=1e-12, nan_ok=True)
    for end in ("low", "high"):  # the same groups are drawn, so the intervals are the same, too
        before, after = (
            {name: math.nan if (at := getattr(one, end)) is None else at for name, one in found.overall.items()}
            for found in (plain, shuffled)
        )
        assert after == pytest.approx(before, rel=1e-9, abs=1e-12, nan_ok=True)
    twice = measured(np.tile(true, 2), np.tile(probs, (2, 1)), np.tile(groups, 2))
    assert values(twice) == pytest.approx(values(plain), rel=1e-9, abs=1e-12, nan_ok=True)


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_renaming_classes_renames_their_numbers(seed: int) -> None:
    """Malignant classes change places among themselves, and benign ones; melanoma and actinic keratosis stay."""
    true, probs = make_scores(seed, 60)
    random = np.random.default_rng(seed)
    names = np.arange(N_CLASSES)  # old class -> new class
    for movable in ([BCC, SCC], [NV, 4, 5, 6]):
        names[movable] = random.permutation(movable)
    renamed = np.empty_like(probs)
    renamed[:, names] = probs
    before, after = measured(true, probs), measured(names[true], renamed)
    for measure in (one.name for one in CLASS_MEASURES):
        for old, new in enumerate(names):
            assert after.by_class[new][measure].value == pytest.approx(before.by_class[old][measure].value, rel=1e-9)
    for name in BY_NAME:
        assert after.overall[name].value == pytest.approx(before.overall[name].value, rel=1e-9), name


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, N_CLASSES), st.integers(1, 12))
def test_numbers_lie_in_their_ranges_and_intervals_around_what_they_can(seed: int, classes: int, n: int) -> None:
    true, probs = make_scores(seed, n, classes=classes)
    found = measured(true, _rounded(probs), np.random.default_rng(seed).integers(0, 4, n))
    numbers = {**found.overall}
    for place, by_name in enumerate(found.by_class):
        numbers |= {f"{place} {name}": one for name, one in by_name.items()}
    for name, one in numbers.items():
        highest = 0.2 if "partial_auc" in name else math.inf if name == "log_loss" else 2 if name == "brier" else 1
        if one.value is not None:
            assert -1e-12 <= one.value <= highest + 1e-12, name
        if one.low is not None:
            assert one.value is not None
            assert one.high is not None
            assert one.low <= one.high, name


def test_few_groups_leave_areas_without_a_formula_without_an_interval() -> None:
    true = np.repeat(np.arange(N_CLASSES), [150, 200, 99, 120, 120, 120, 120, 120])
    _, probs = make_scores(3, len(true), skill=0.0)
    probs = probs + 0.3 * np.eye(N_CLASSES)[true]
    probs /= probs.sum(axis=1, keepdims=True)
    found = estimate_all(Scored(true, probs, np.arange(len(true))), n_bootstrap=40, seed=7)
    assert {found.by_class[MEL][name].method for name in ("pr_auc", "partial_auc")} == {"group bootstrap"}
    assert {found.by_class[BCC][name].method for name in ("pr_auc", "partial_auc")} == {"none"}
    assert found.by_class[BCC]["auc"].method == "Newcombe"
    assert found.by_class[BCC]["npv"].method == "group bootstrap"  # over all that were not called BCC
    assert found.overall["macro_pr_auc"].low is None  # one of its parts has no interval
    assert found.overall["macro_pr_auc"].value is not None
    assert found.overall["melanoma_specificity_at_90_sensitivity"].method == "group bootstrap"
    assert found.overall["malignant_auc"].method == "group bootstrap"
    # One melanoma in ten: too few to decide a threshold, however many others there are.
    fewer = np.flatnonzero((true != MEL) | (np.arange(len(true)) % 10 == 0))
    again = estimate_all(Scored(true[fewer], probs[fewer], fewer), n_bootstrap=40, seed=7).overall
    assert again["melanoma_specificity_at_90_sensitivity"].low is None
    assert again["melanoma_sensitivity_at_90_specificity"].method == "Wilson"


@pytest.fixture(scope="module")
def scored() -> Scored:
    true, probs = make_scores(5, 90, classes=7)
    return Scored(true, probs, np.arange(90) // 2)


@pytest.fixture(scope="module")
def metrics(scored: Scored) -> Metrics:
    return measure_scores(scored, subject_of(scored), temperature=1.0)


def subject_of(scored: Scored) -> Subject:
    present = set(scored.class_index.tolist())
    return Subject(
        model_id="m/0", model_sha256="0" * 64, recipe="m", dataset_id="d/0", dataset_sha256="1" * 64,
        training_dataset_id="d/0", split="test", n_images=len(scored.class_index), n_groups=45,
        classes_present=tuple(name for place, name in enumerate(CLASS_ORDER) if place in present),
        absent_classes=tuple(name for place, name in enumerate(CLASS_ORDER) if place not in present),
        synthetic=True, licence="CC-0", n_bootstrap=20, seed=7, step_version=1,
    )  # fmt: skip


def test_every_number_of_the_table_is_in_the_report_and_comes_back(metrics: Metrics) -> None:
    again = Metrics.model_validate_json(metrics.model_dump_json())
    assert again == metrics
    for one in MEASURES:
        assert again.has(one)
        assert again.estimate(one).value is not None, one.name
    for one in CLASS_MEASURES:
        assert again.classes[MEL].estimate(one).value is not None, one.name
        assert again.classes[MEL].has(one)


def test_a_confusion_matrix_by_row_adds_up_to_one_or_is_not_known(metrics: Metrics) -> None:
    assert metrics.confusion_by_row is not None
    for counts, shares in zip(metrics.confusion, metrics.confusion_by_row, strict=True):
        if sum(counts):
            assert shares == pytest.approx([count / sum(counts) for count in counts])
        else:
            assert shares == (None,) * N_CLASSES
    assert metrics.confusion_by_row[MEL][MEL] == metrics.classes[MEL].sensitivity.value


def test_predictive_values_are_of_both_decisions_and_agree_with_the_older_fields(metrics: Metrics) -> None:
    assert metrics.predictive_values is not None
    rows = {(row.decision, row.prevalence): row for row in metrics.predictive_values.rows}
    assert set(rows) == {(how, at) for how in ("leading class", "summed probability") for at in (0.01, 0.05, 0.2)}
    assert metrics.malignancy.ppv_at_1_percent == rows["leading class", 0.01].ppv.value
    assert metrics.malignancy.ppv_at_5_percent == rows["leading class", 0.05].ppv.value
    sensitivity = metrics.estimate(BY_NAME["malignant_sum_sensitivity"]).value
    specificity = metrics.estimate(BY_NAME["malignant_sum_specificity"]).value
    assert sensitivity is not None
    assert specificity is not None
    expected = 0.2 * sensitivity / (0.2 * sensitivity + 0.8 * (1 - specificity))
    assert rows["summed probability", 0.2].ppv.value == pytest.approx(expected)
    assert [row["prevalence"] for row in metrics.predictive_rows()] == ["1%", "5%", "20%"] * 2


def test_the_decision_curve_is_of_probabilities_at_the_class_shares(metrics: Metrics, scored: Scored) -> None:
    malignant = np.isin(scored.class_index, MALIGNANT_INDICES)
    here = scored.probs.astype(np.float64) * scored.class_shares
    here /= here.sum(axis=1, keepdims=True)
    assert metrics.decision_curve == decision_curve(malignant, here[:, MALIGNANT_INDICES].sum(axis=1))
    assert metrics.decision_curve.prevalence == pytest.approx(malignant.mean())


def test_a_report_from_before_is_read_and_shows_what_it_has(metrics: Metrics) -> None:
    body = json.loads(metrics.model_dump_json())
    for part in (body, *body["classes"]):
        for name in ("further", *NEW_FIELDS):
            part.pop(name, None)
    older = Metrics.model_validate(body)
    assert older.estimate(BY_NAME["malignant_auc"]).value is None
    assert older.predictive_rows() == []
    shown = {row["measure"] for row in older.headline_rows()}
    assert not any("PR AUC" in name for name in shown)
    assert {row["measure"] for row in metrics.headline_rows()} > shown
    assert older.class_rows()[0]["PR AUC"] == "not known"
    again = json.loads(older.model_dump_json())
    assert again == body  # nothing is added to what was stored
