"""Each known mistake is made on purpose, and named first in what to know before trusting a number."""

import numpy as np
import pytest

from lesion_core.dataset.proof.certificate import Shortcut
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.analysis.decisions import measure_decisions
from lesion_core.evaluation.analysis.prediction_sets import measure_sets
from lesion_core.evaluation.analysis.results import MissingField, MissingMetadata
from lesion_core.evaluation.analysis.sanity import find_mistakes
from lesion_core.evaluation.rendering.remarks import remarks_on
from lesion_core.evaluation.report import Metrics
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.group_means import GroupMeans
from lesion_core.statistics.guarantees.conformal import fit_conformal
from lesion_core.statistics.guarantees.operating_points import OperatingPoint, OperatingPoints
from lesion_core.statistics.paired import Difference
from tests.core.statistics.test_conformal import simulated

TRUE, PROBS = simulated(600, 1)
MEANS = GroupMeans(TRUE, np.arange(600), n_bootstrap=200, seed=7)
UNKNOWN = Estimate(value=None)


def test_swapped_columns_come_first(metrics: Metrics, analyses: Analyses) -> None:
    found = find_mistakes(TRUE, PROBS[:, [1, 0, 2, 3, 4, 5, 6, 7]])
    remarks = remarks_on(metrics, analyses.model_copy(update={"findings": found}))
    assert "MEL as NV" in remarks[0]
    assert "probably swapped" in remarks[0]


def test_a_promise_that_is_not_kept_is_named(metrics: Metrics, analyses: Analyses) -> None:
    point = OperatingPoint(decision="refer", wanted=0.95, confidence=0.9, threshold=0.9, n_groups=90)
    reached = measure_decisions(OperatingPoints(points=(point,)), TRUE, PROBS, MEANS)
    remarks = remarks_on(metrics, analyses.model_copy(update={"decisions": reached}))
    assert any("The promise of “refer” is not kept: 0.95 was promised" in remark for remark in remarks)


def test_sets_that_leave_the_truth_out_are_named(metrics: Metrics, analyses: Analyses) -> None:
    too_sure = PROBS**0.2  # calibrated on answers that were less sure than the tested ones
    sets = fit_conformal(TRUE, too_sure, np.arange(600))
    reached = measure_sets(sets, TRUE, PROBS, MEANS)
    remarks = remarks_on(metrics, analyses.model_copy(update={"sets": reached}))
    assert any("Conformal sets hold MEL less often than the stated 0.90" in remark for remark in remarks)


def _missing(known: float, unknown: float, low: float) -> MissingMetadata:
    gain = Difference(
        candidate=known,
        reference=unknown,
        difference=Estimate(value=known - unknown, low=low, high=known - unknown + 0.05, method="group bootstrap"),
    )
    nothing = Difference(candidate=None, reference=None, difference=UNKNOWN)
    field = MissingField(
        unknown=("age", "sex", "site"),
        is_all=True,
        n_images_known=600,
        balanced_accuracy=gain,
        malignant_sensitivity=nothing,
        log_loss=nothing,
        flips=UNKNOWN,
    )
    return MissingMetadata(n_images=600, n_groups=600, fields=(field,))


def test_a_model_that_reads_metadata_alone_is_named_and_one_that_uses_them_is_not(
    metrics: Metrics, analyses: Analyses
) -> None:
    words = "It hardly looks at the image"
    alone = analyses.model_copy(update={"missing_metadata": _missing(0.40, 0.125, 0.2)})
    assert any(words in remark for remark in remarks_on(metrics, alone)[:3])
    helped = analyses.model_copy(update={"missing_metadata": _missing(0.70, 0.62, 0.02)})
    assert not any(words in remark for remark in remarks_on(metrics, helped))


@pytest.mark.parametrize(("value", "low", "is_better"), [(0.17, 0.15, False), (0.30, 0.16, False), (0.6, 0.5, True)])
def test_a_model_no_better_than_the_size_of_the_image_is_named(
    metrics: Metrics, value: float, low: float, is_better: bool
) -> None:
    by_size = Shortcut(
        features="width and height",
        balanced_accuracy=0.165,
        chance=0.125,
        shuffled_mean=0.125,
        shuffled_best=0.14,
        n_shuffles=19,
        n_images=9000,
    )
    score = Estimate(value=value, low=low, high=value + 0.05, method="group bootstrap")
    remarks = remarks_on(metrics.model_copy(update={"balanced_accuracy": score}), None, [by_size])
    assert ("is not surely better than a shortcut: width and height alone" in remarks[0]) is not is_better
    chance = by_size.model_copy(update={"balanced_accuracy": 0.13})
    assert not any("shortcut" in remark for remark in remarks_on(metrics, None, [chance]))
