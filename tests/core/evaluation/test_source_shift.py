"""A model on known sources and on the one left out: shared classes alone, and an honest difference."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.errors import ConfigError, DataError
from lesion_core.evaluation import job as evaluation
from lesion_core.evaluation.left_out.source_shift import (
    SourceShiftMetrics,
    compare_sides,
    measure_source_shift,
    read_source_shift,
    unpaired_difference,
)
from lesion_core.evaluation.left_out.spec import SourceShiftJob
from lesion_core.evaluation.report import PROBABILITY_COLUMNS, read_predictions
from lesion_core.evaluation.spec import EvaluateJob, Split
from lesion_core.labels import CLASS_ORDER, Diagnosis, class_index
from lesion_core.progress import ignore_progress
from lesion_core.refs import ReportRef
from lesion_core.statistics.estimates import Estimate
from lesion_core.statistics.metrics import balanced_accuracy
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import draw, encode, image_row, store_snapshot
from tests.core.evaluation.worlds import publish_model
from tests.undrawn import undrawn

MEL, NV, DF, VASC = (class_index(name) for name in ("MEL", "NV", "DF", "VASC"))


def side(seed: int, classes: dict[int, int], right: float) -> pd.DataFrame:
    """Return predictions of which so large a share is right, as ``read_predictions`` does."""
    rng = np.random.default_rng(seed)
    true = np.repeat(list(classes), list(classes.values()))
    answer = np.where(rng.random(len(true)) < right, true, (true + 1) % 8)
    probs = rng.dirichlet(np.ones(8), len(true)) * 0.2
    probs[np.arange(len(true)), answer] += 0.8
    table = pd.DataFrame(probs, columns=list(PROBABILITY_COLUMNS))
    groups = [f"{seed}-{number}" for number in range(len(true))]
    return table.assign(isic_id=groups, group=groups, class_index=true, predicted_index=answer)


def compared(internal: pd.DataFrame, elsewhere: pd.DataFrame) -> SourceShiftMetrics:
    return compare_sides(internal, elsewhere, model_id="m/0", source="clinic b", n_bootstrap=200, seed=1)


def test_only_classes_of_both_sides_are_counted() -> None:
    internal, elsewhere = side(1, {MEL: 120, NV: 150, DF: 40}, 0.9), side(2, {MEL: 130, NV: 110, VASC: 30}, 0.6)
    found = compared(internal, elsewhere)
    assert found.classes == (Diagnosis.MEL, Diagnosis.NV)
    assert (found.internal_only, found.elsewhere_only) == ((Diagnosis.DF,), (Diagnosis.VASC,))
    assert (found.n_internal, found.n_elsewhere) == (270, 240)
    first = found.shifts[0]
    for estimate, table in ((first.internal, internal), (first.elsewhere, elsewhere)):
        shared = table[table["class_index"].isin([MEL, NV])]
        expected = balanced_accuracy(shared["class_index"].to_numpy(), shared["predicted_index"].to_numpy())
        assert estimate.value == pytest.approx(expected)
    assert [one.measure for one in found.shifts[-2:]] == ["sensitivity of MEL", "sensitivity of NV"]
    words = found.in_words()
    assert "MEL, NV" in words
    assert "Not counted: DF only on the other sources; VASC only on this source." in words


def test_a_real_drop_is_outside_the_interval_and_none_is_within() -> None:
    internal = side(3, {MEL: 150, NV: 150}, 0.9)
    drop = compared(internal, side(4, {MEL: 150, NV: 150}, 0.6)).shifts[0].difference
    same = compared(internal, side(5, {MEL: 150, NV: 150}, 0.9)).shifts[0].difference
    assert drop.high is not None
    assert drop.high < 0
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high


def test_the_difference_of_independent_numbers() -> None:
    one = Estimate(value=0.6, low=0.5, high=0.7, method="group bootstrap")
    other = Estimate(value=0.9, low=0.86, high=0.93, method="group bootstrap")
    found = unpaired_difference(one, other)
    assert (found.value, found.low, found.high) == pytest.approx(
        (-0.3, -0.3 - np.hypot(0.1, 0.03), -0.3 + np.hypot(0.1, 0.04))
    )
    assert unpaired_difference(one, Estimate(value=0.9)).low is None
    assert unpaired_difference(Estimate(value=None), other).value is None


def test_one_shared_class_is_too_few() -> None:
    with pytest.raises(DataError, match=r"at least 2 classes on both sides, got MEL, NV on the other .* and NV, DF"):
        compared(side(1, {MEL: 9, NV: 9}, 0.9), side(2, {NV: 9, DF: 9}, 0.9))


def test_a_model_is_measured_on_both_sides(tmp_path: Path) -> None:
    store, images = LocalStore(tmp_path / "store"), []
    for number in range(56):
        data = encode(draw(number))
        changes = {"attribution": ("Clinic A", "Clinic A", "Clinic B")[number // 4 % 3]}
        images.append((image_row(number, data, diagnosis=("MEL", "NV", "DF", "AK")[number % 4], **changes), data))
    snapshot = store_snapshot(store, images, tmp_path / "snapshot")
    options = PrepareOptions(name="x", size_px=64, leave_out_source="clinic b", calibration=0.3, n_folds=3)
    dataset = prepare(snapshot, options, store, workdir=tmp_path / "work")
    model = publish_model(store, dataset, tmp_path)

    def report(split: Split) -> ReportRef:
        job = EvaluateJob(model=model, dataset=dataset, split=split, n_bootstrap=100, analyses=False)
        with undrawn():
            return evaluation.run(
                job.model_dump(mode="json"), store=store, workdir=tmp_path / "work", on_progress=ignore_progress
            )

    internal, elsewhere = report("calibration"), report("test")
    job = SourceShiftJob(internal=internal, elsewhere=elsewhere, source="clinic b", n_bootstrap=100)
    ref = measure_source_shift(job, store)
    found = read_source_shift(store, ref)
    assert found.n_elsewhere == len(read_predictions(store, elsewhere)) == 16
    assert (ref.internal, ref.elsewhere) == (found.shifts[0].internal.value, found.shifts[0].elsewhere.value)
    assert found.classes == tuple(name for name in CLASS_ORDER if name in ("MEL", "NV", "AK", "DF"))
    assert measure_source_shift(job, store) == ref
    with pytest.raises(ConfigError, match=r"one model on the calibration and the test split .*on the test split"):
        measure_source_shift(job.model_copy(update={"internal": elsewhere}), store)
