import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.manifest import write_table
from lesion_core.dataset.model_images import ModelImages
from lesion_core.dataset.records import SPLITS_SCHEMA
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, DataError, LeakageError
from lesion_core.evaluation import job as evaluation
from lesion_core.evaluation.predictions import count_seen, predict_rows, rows_to_evaluate
from lesion_core.evaluation.report import PROBABILITY_COLUMNS, latest_report, read_metrics, read_predictions
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.fields.columns import metadata_inputs
from lesion_core.images import Preprocessing, level_colours, preprocess
from lesion_core.keys import canonical_json
from lesion_core.labels import CLASS_ORDER
from lesion_core.progress import ignore_progress
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.serving.predictor import Predictor
from lesion_core.statistics import metrics
from lesion_core.stores.folders import find, materialise, publish, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder
from tests.core.evaluation.conftest import Evaluated
from tests.core.evaluation.worlds import make_dataset, publish_model, publish_report, right
from tests.stages import finished_stages
from tests.undrawn import undrawn

FILES = {
    "metrics.json",
    "predictions.parquet",
    "misclassified.csv",
    "card.md",
    "card.html",
    "card.json",
    "card.xml",
    "figures/confusion_matrix.png",
    "figures/roc.png",
    "figures/precision_recall.png",
    "figures/decision_curve.png",
    "figures/reliability.png",
    "figures/sensitivity.png",
    "figures/misclassified.png",
    "figures/class_distribution.png",
    "figures/history.png",
    "analyses.json",
    "reannotation.csv",
    "remarks.json",
    "report.html",
    "figures/risk_coverage.png",
    "figures/conformal_sets.png",
    "figures/stress.png",
    "figures/subgroups.png",
}
VECTORS = {
    f"figures/{name}.svg"
    for name in (
        *("confusion_matrix", "roc", "precision_recall", "decision_curve", "reliability", "sensitivity"),
        *("risk_coverage", "conformal_sets", "stress", "subgroups"),
    )
}


def evaluate(store: LocalStore, model: ModelRef, dataset: DatasetRef, workdir: Path, **options: object) -> ReportRef:
    asked = {"model": model, "dataset": dataset, "n_bootstrap": 100, "analyses": False, **options}
    job = EvaluateJob.model_validate(asked)
    with undrawn():
        return evaluation.run(job.model_dump(mode="json"), store=store, workdir=workdir, on_progress=ignore_progress)


def test_a_report_is_complete_and_says_what_was_served(evaluated: Evaluated) -> None:
    store, report, rows = evaluated.store, evaluated.report, evaluated.dataset.split("test")
    found = find(store, report.key)
    assert found is not None
    assert set(found[0].files) == FILES | VECTORS
    predictor = Predictor.load(materialise(store, evaluated.model, evaluated.place / "cache"))
    served = predictor.predict(evaluated.dataset.pixels(rows), metadata_inputs(rows)).probs
    predictions = read_predictions(store, report).set_index("isic_id").loc[rows["isic_id"]]
    np.testing.assert_array_equal(predictions[list(PROBABILITY_COLUMNS)].to_numpy(), served)
    np.testing.assert_array_equal(predictions["class_index"], rows["class_index"])
    np.testing.assert_array_equal(predictions["group"], rows["group"])
    np.testing.assert_array_equal(predictions["predicted_index"], served.argmax(axis=1))
    np.testing.assert_array_equal(predictions["correct"], served.argmax(axis=1) == rows["class_index"])


def test_its_numbers_come_from_its_predictions(evaluated: Evaluated) -> None:
    numbers = read_metrics(evaluated.store, evaluated.report)
    predictions = read_predictions(evaluated.store, evaluated.report)
    true, predicted = (predictions[name].to_numpy() for name in ("class_index", "predicted_index"))
    score = metrics.balanced_accuracy(true, predicted)
    assert numbers.balanced_accuracy.value == pytest.approx(score)
    assert evaluated.report.balanced_accuracy == numbers.balanced_accuracy.value
    assert evaluated.report.balanced_accuracy_low == numbers.balanced_accuracy.low
    assert evaluated.report.n_images == len(predictions) == numbers.subject.n_images
    np.testing.assert_array_equal(np.array(numbers.confusion), metrics.confusion_matrix(true, predicted))
    assert numbers.subject.absent_classes == ("VASC",)
    assert numbers.chance == evaluated.report.chance == pytest.approx(1 / 7)
    vasc = numbers.classes[CLASS_ORDER.index("VASC")]
    assert (vasc.n_images, vasc.sensitivity.value, vasc.auc.value) == (0, None, None)
    assert {row["class"]: row["sensitivity"] for row in numbers.class_rows()}["Vascular lesion (VASC)"] == "not known"
    assert numbers.headline_rows()[0]["value"] == f"{score:.3f}"


def test_probabilities_are_measured_at_the_class_shares_of_the_images(evaluated: Evaluated) -> None:
    found = read_metrics(evaluated.store, evaluated.report).probabilities
    predictions = read_predictions(evaluated.store, evaluated.report)
    true = predictions["class_index"].to_numpy()
    shares = np.bincount(true, minlength=len(CLASS_ORDER)) / len(true)
    assert found.class_prior == pytest.approx([1 / 8] * 8)  # by the recipe's usual adjustment
    assert found.class_shares == pytest.approx(shares)
    odds = predictions[list(PROBABILITY_COLUMNS)].to_numpy(np.float64) * shares
    here = odds / odds.sum(axis=1, keepdims=True)
    assert found.log_loss.value == pytest.approx(metrics.log_loss_terms(true, here).mean())
    assert found.brier.value == pytest.approx(metrics.brier_terms(true, here).mean())
    bins = metrics.reliability(true, here)
    assert found.calibration_error.value == pytest.approx(float(metrics.calibration_error_of(bins)))
    assert [count for count, _, _ in found.bins] == bins.count.tolist()


def test_its_json_holds_null_and_never_nan(evaluated: Evaluated) -> None:
    body = json.loads(read_file(evaluated.store, evaluated.report, "metrics.json"))
    assert canonical_json(body)
    assert body["classes"][CLASS_ORDER.index("VASC")]["sensitivity"]["value"] is None


def test_misclassified_images_come_with_probabilities_missed_cancers_first(evaluated: Evaluated) -> None:
    table = pd.read_csv(io.BytesIO(read_file(evaluated.store, evaluated.report, "misclassified.csv")))
    predictions = read_predictions(evaluated.store, evaluated.report)
    assert set(table["isic_id"]) == set(predictions.loc[~predictions["correct"], "isic_id"])
    assert (table["true"] != table["predicted"]).all()
    assert table["missed_malignant"].is_monotonic_decreasing
    assert (table["p_of_predicted"] >= table["p_of_true"]).all()
    np.testing.assert_allclose(table[list(PROBABILITY_COLUMNS)].sum(axis=1), 1, atol=1e-3)


def test_progress_reaches_every_image(evaluated: Evaluated) -> None:
    parts = finished_stages(evaluated.progress)
    assert list(parts) == [
        *("fetch dataset", "fetch model", "predict", "bootstrap intervals"),
        *("nearest training images", "artefacts", "gallery"),
        *("explanations", "subgroups", "missing metadata", "stress", "turned views", "figures", "publish"),
    ]
    assert parts["predict"] == evaluated.report.n_images
    assert parts["publish"] == len(FILES | VECTORS)


def test_the_same_work_is_done_once(evaluated: Evaluated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_evaluate", lambda *_: pytest.fail("evaluated again"))
    assert (
        evaluate(
            evaluated.store,
            evaluated.model,
            evaluated.dataset.ref,
            evaluated.place / "elsewhere",
            n_bootstrap=200,
            analyses=True,
        )
        == evaluated.report
    )


def test_another_split_or_seed_is_another_report(evaluated: Evaluated) -> None:
    arguments = (evaluated.store, evaluated.model, evaluated.dataset.ref, evaluated.place / "work")
    validation = evaluate(*arguments, split="validation")
    assert validation.split == "validation"
    assert len({validation.id, evaluate(*arguments, seed=8).id, evaluated.report.id}) == 3
    assert latest_report(evaluated.store, evaluated.model, split="validation") == validation


def test_nothing_is_left_behind(evaluated: Evaluated) -> None:
    scratch = evaluated.place / "work" / "evaluation" / evaluated.report.id
    assert scratch.parent.is_dir()
    assert not scratch.exists()


def test_a_model_that_levels_colours_is_not_shown_records_that_are_not(evaluated: Evaluated, tmp_path: Path) -> None:
    store = evaluated.store
    plain = make_dataset(store, tmp_path, size_px=48, name="plain")
    rows = rows_to_evaluate(plain, "test").head(3)
    levelled = ModelImages(plain, store, Preprocessing(size_px=48, colour_constancy="shades-of-gray")).pixels(rows)
    np.testing.assert_array_equal(levelled, [level_colours(pixels) for pixels in plain.pixels(rows)])
    np.testing.assert_array_equal(
        ModelImages(plain, store, Preprocessing(size_px=48)).pixels(rows), plain.pixels(rows)
    )


def test_another_size_is_decoded_from_the_archives_files(evaluated: Evaluated, tmp_path: Path) -> None:
    """A model of 64 px on records of 48 px sees exactly what the page would show it."""
    store = evaluated.store
    smaller = make_dataset(store, tmp_path, size_px=48, name="smaller", licence="CC-BY")
    rows = rows_to_evaluate(smaller, "test")
    images = ModelImages(smaller, store, Preprocessing(size_px=64))
    pixels = images.pixels(rows.iloc[[2, 0]])
    key = (
        pd.read_parquet(smaller.folder / "manifest.parquet").set_index("isic_id").loc[rows["isic_id"][2], "image_key"]
    )
    np.testing.assert_array_equal(
        pixels[0], preprocess(store.read(key), Preprocessing(size_px=64), image_id="the same")
    )
    report = evaluate(store, evaluated.model, smaller.ref, tmp_path / "work")
    predictor = Predictor.load(materialise(store, evaluated.model, tmp_path / "cache"))
    probs = predict_rows(predictor, images, rows, ignore_progress).probs
    found = read_predictions(store, report).set_index("isic_id").loc[rows["isic_id"]]
    np.testing.assert_array_equal(found[list(PROBABILITY_COLUMNS)].to_numpy(), probs)


def test_images_that_the_model_was_made_from_are_counted(evaluated: Evaluated, tmp_path: Path) -> None:
    """The same images in another dataset, under other splits: those it trained on are seen, by id or by bytes."""
    store, place = evaluated.store, tmp_path
    other = make_dataset(store, place, n_images=60, name="other", licence="CC-BY")
    rows = other.split("test")
    trained = evaluated.dataset.rows
    used = set(trained.loc[trained["split"].isin(["train", "validation", "calibration"]), "isic_id"])
    expected = len(used & set(rows["isic_id"]))
    assert expected > 0
    assert count_seen(store, evaluated.model, other, rows) == expected
    report = evaluate(store, evaluated.model, other.ref, place / "work")
    assert read_metrics(store, report).subject.n_seen_in_training == expected
    assert f"of which {expected} were used in its making" in read_file(store, report, "card.md").decode()


def test_a_split_without_images_is_refused_in_words(evaluated: Evaluated) -> None:
    rows = evaluated.dataset.rows
    empty = dataclasses.replace(evaluated.dataset, rows=rows[rows["split"] != "test"])
    with pytest.raises(DataError, match=r"expected images in the test split .* take more images"):
        rows_to_evaluate(empty, "test")


def test_an_image_that_is_there_twice_is_refused_in_words(evaluated: Evaluated) -> None:
    rows = evaluated.dataset.rows
    test = rows[rows["split"] == "test"]
    twice = dataclasses.replace(evaluated.dataset, rows=pd.concat([rows, test.head(1)]))
    with pytest.raises(DataError, match=rf"got 1 again, such as {test['isic_id'].iloc[0]}; it would count twice"):
        rows_to_evaluate(twice, "test")


def test_a_model_that_was_calibrated_on_test_images_is_refused(tmp_path: Path) -> None:
    """Nothing in splits or certificate shows it: whoever made the model fitted its temperature on the wrong split."""
    store = LocalStore(tmp_path / "store")
    dataset = make_dataset(store, tmp_path)
    for split, number in (("test", 1), ("calibration", 2)):
        place = tmp_path / split
        ids = sorted(dataset.split(split)["isic_id"])
        model = publish_model(store, dataset.ref, place, seed=number, calibrated_on=ids)
        if split == "calibration":
            evaluate(store, model, dataset.ref, place / "work")
            continue
        with pytest.raises(LeakageError, match=f"got {len(ids)} of {len(ids)} that decided its temperature"):
            evaluate(store, model, dataset.ref, place / "work")


def test_a_dataset_with_a_lesion_in_two_splits_is_refused(evaluated: Evaluated, tmp_path: Path) -> None:
    """A dataset published with a leak: certified before one image was moved to the test split."""
    folder = tmp_path / "leaking"
    shutil.copytree(evaluated.dataset.folder, folder)
    splits = pd.read_parquet(folder / "splits.parquet")
    groups = splits["isic_id"].map(pd.read_parquet(folder / "manifest.parquet").set_index("isic_id")["group"])
    place = splits.index[(splits["split"] == "train") & groups.duplicated(keep=False)][0]
    splits.loc[place, "split"] = "test"
    write_table(splits, SPLITS_SCHEMA, folder / "splits.parquet")
    key = "datasets/leaking/0123456789ab"
    summary = evaluated.dataset.ref.model_dump(mode="json", exclude={"id", "key", "sha256"})
    published = publish(
        evaluated.store, key, folder, step="prepare", step_version=1, inputs={"leak": 1}, summary=summary
    )
    leaking = ref_from_folder(DatasetRef, key, *published)
    with pytest.raises(LeakageError):
        evaluate(evaluated.store, evaluated.model, leaking, tmp_path / "work")
    prefix = f"reports/{evaluated.model.id.replace('/', '-')}/"
    reports = [key for key in evaluated.store.list(prefix) if key.endswith("index.json")]
    assert not any(leaking.sha256.encode() in evaluated.store.read(key) for key in reports)


def test_a_changed_archive_file_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    dataset = make_dataset(store, tmp_path, size_px=48, n_images=84)
    model = publish_model(store, dataset.ref, tmp_path)
    rows = dataset.split("test")
    manifest = pd.read_parquet(dataset.folder / "manifest.parquet").set_index("isic_id")
    key = manifest.loc[rows["isic_id"][0], "image_key"]
    store.write(key, store.read(manifest.loc[rows["isic_id"][1], "image_key"]))
    with pytest.raises(ArtifactCorrupt, match=r"restore archive/.* from a backup"):
        evaluate(store, model, dataset.ref, tmp_path / "work")
    store.remove(key)
    with pytest.raises(ArtifactNotFound):
        evaluate(store, model, dataset.ref, tmp_path / "work")


def test_the_newest_report_on_this_very_model_is_found(evaluated: Evaluated, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    dataset = make_dataset(store, tmp_path, n_images=84)
    model = publish_model(store, dataset.ref, tmp_path)
    with pytest.raises(ArtifactNotFound, match="evaluate the model"):
        latest_report(store, model)
    report = publish_report(store, model, dataset, tmp_path, right)
    assert latest_report(store, model) == report
    with pytest.raises(ArtifactNotFound):
        latest_report(store, model.model_copy(update={"sha256": "0" * 64}))


def test_damaged_metrics_are_refused(evaluated: Evaluated, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"subject": {}}')
    key = "reports/damaged/0123456789ab"
    summary = evaluated.report.model_dump(mode="json", exclude={"id", "key", "sha256"})
    published = publish(evaluated.store, key, tmp_path, step="evaluate", step_version=1, inputs={}, summary=summary)
    with pytest.raises(ArtifactCorrupt, match="evaluate the model again"):
        read_metrics(evaluated.store, ref_from_folder(ReportRef, key, *published))
