"""An external test: what the model was made from is left out by name, labels of several classes count as one."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.errors import ArtifactNotFound, DataError
from lesion_core.evaluation import job as evaluation
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.external import External, measure_external
from lesion_core.evaluation.measurement import Scored, measure_scores
from lesion_core.evaluation.pools import with_pooled_answers
from lesion_core.evaluation.report import (
    ANALYSES_NAME,
    PROBABILITY_COLUMNS,
    ExternalSubject,
    Metrics,
    external_reports,
    latest_report,
    read_left_out,
    read_metrics,
    read_predictions,
)
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.isic.external.labels import ExternalTest, MappedLabel
from lesion_core.isic.external.snapshot import bring_folder
from lesion_core.labels import CLASS_ORDER, Diagnosis, class_index
from lesion_core.lineage.exposure import leave_image_list
from lesion_core.lineage.overlap import find_overlap
from lesion_core.progress import ignore_progress
from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.registry.gate import decide
from lesion_core.stores.folders import read_file
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import summary_of
from tests.core.dataset.snapshots import draw, encode, simple_images, store_snapshot
from tests.core.evaluation.conftest import Evaluated
from tests.core.evaluation.worlds import make_dataset, publish_model, publish_report, right
from tests.core.isic.folders import row, write_table
from tests.undrawn import undrawn

AK, SCC = class_index("AK"), class_index("SCC")
FRESH = range(5000, 5014)
SAME_ID, SAME_BYTES, TURNED, OF_LESION, GROUP_MATE, UNMAPPED = 0, 6000, 6001, 6002, 6003, 6004


def write_images(folder: Path, files: dict[int, bytes], cells: dict[int, dict[str, str]]) -> None:
    """Write images and metadata.csv; every other one is an AKIEC, the rest are nevi."""
    folder.mkdir()
    no_path = {"diagnosis_1": "", "diagnosis_2": "", "diagnosis_3": ""}
    rows = []
    for place, (number, data) in enumerate(files.items()):
        (folder / f"ISIC_{number:07d}.png").write_bytes(data)
        label = {**no_path, "diagnosis": "AKIEC"} if place % 2 else {}
        rows.append(row(number, **{**label, **cells.get(number, {})}))
    write_table(folder, rows)


@dataclass(frozen=True)
class World:
    place: Path
    store: LocalStore
    dataset: OpenDataset
    model: ModelRef
    internal: ReportRef
    external: OpenDataset
    report: ReportRef


def prepared(store: LocalStore, model: ModelRef, place: Path, test: ExternalTest) -> OpenDataset:
    options = PrepareOptions.for_external_test(test.dataset, model)
    ref = prepare(bring_folder(test, store), options, store, workdir=place / "work")
    return open_dataset(store, ref, place / "cache")


def evaluated(store: LocalStore, model: ModelRef, dataset: OpenDataset, place: Path) -> ReportRef:
    job = EvaluateJob(model=model, dataset=dataset.ref, n_bootstrap=100)
    with undrawn():
        return evaluation.run(
            job.model_dump(mode="json"), store=store, workdir=place / "work", on_progress=ignore_progress
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    place = tmp_path_factory.mktemp("external")
    store = LocalStore(place / "store")
    dataset = make_dataset(store, place, n_images=56)
    model = publish_model(store, dataset.ref, place)
    internal = publish_report(store, model, dataset, place, right)
    used = dataset.split("train")["isic_id"].str.removeprefix("ISIC_").astype(int).tolist()
    test_only = int(dataset.split("test")["isic_id"].iloc[0].removeprefix("ISIC_"))
    files = {number: encode(draw(number)) for number in FRESH}
    files[used[SAME_ID]] = encode(draw(7000))
    files[SAME_BYTES] = encode(draw(used[1]))
    files[TURNED] = encode(np.rot90(draw(used[2])), "JPEG", quality=80)
    files[OF_LESION], files[GROUP_MATE] = encode(draw(7001)), encode(draw(7002))
    files[UNMAPPED] = encode(draw(7003))
    files[test_only] = encode(draw(test_only))  # a test image of the model's: it has not seen it
    cells = {
        OF_LESION: {"lesion_id": f"IL_{used[3] // 2}", "patient_id": "IP_0000077"},
        GROUP_MATE: {"patient_id": "IP_0000077"},
        UNMAPPED: {"diagnosis_1": "", "diagnosis_2": "", "diagnosis_3": "", "diagnosis": "lentigo NOS"},
    }
    write_images(place / "folder", files, cells)
    test = ExternalTest(name="clinic", folder=str(place / "folder"), labels=("AKIEC=AK|SCC",))
    external = prepared(store, model, place, test)
    return World(place, store, dataset, model, internal, external, evaluated(store, model, external, place))


def test_every_image_is_a_test_image_under_the_tests_own_name(world: World) -> None:
    assert world.external.ref.name == "external-clinic"
    assert set(world.external.rows["split"]) == {"test"}
    assert set(world.external.rows["fold"]) == {-1}
    assert world.report.external == "clinic"
    assert "external" not in summary_of(world.internal)


def test_what_the_model_was_made_from_is_left_out_by_name(world: World) -> None:
    left_out = {one["isic_id"]: one for one in read_left_out(world.store, world.report)}
    used = world.dataset.split("train")["isic_id"].tolist()
    told = {isic_id: (one["reason"].split(" an image")[0], one["detail"]) for isic_id, one in left_out.items()}
    of = f"of {world.dataset.ref.id}"
    assert told == {
        used[0]: ("same isic_id as", f"{used[0]} {of}"),
        f"ISIC_{SAME_BYTES:07d}": ("same bytes as", f"{used[1]} {of}"),
        f"ISIC_{TURNED:07d}": ("near-duplicate of", f"{used[2]} {of}"),
        f"ISIC_{OF_LESION:07d}": ("same lesion as", told[f"ISIC_{OF_LESION:07d}"][1]),
        f"ISIC_{GROUP_MATE:07d}": ("in one group with", f"ISIC_{OF_LESION:07d}"),
        f"ISIC_{UNMAPPED:07d}": ("label without a class", "lentigo NOS"),
    }
    subject = read_metrics(world.store, world.report).subject
    assert subject.external is not None
    assert sum(subject.external.left_out.values()) == len(left_out) == 6
    assert subject.external.n_listed == len(left_out) + subject.n_images
    assert subject.n_images == len(FRESH) + 1  # and the image of the internal test
    assert subject.n_seen_in_training == 0
    assert not set(left_out) & set(read_predictions(world.store, world.report)["isic_id"])


def test_the_report_says_what_it_is(world: World) -> None:
    subject = read_metrics(world.store, world.report).subject
    assert subject.split_in_words == "external test set clinic"
    assert subject.external is not None
    assert {one.in_words() for one in subject.external.labels} == {"AKIEC = AK or SCC", "Nevus = NV"}
    card = read_file(world.store, world.report, "card.md").decode()
    for words in ("external test set clinic", "AKIEC", "AK or SCC", "near-duplicate of", "AK and SCC count as one"):
        assert words in card
    assert "no other hospital" not in card


def test_it_never_stands_in_for_the_internal_test(world: World) -> None:
    assert latest_report(world.store, world.model) == world.internal
    assert external_reports(world.store, world.model) == [world.report]
    decision = decide(world.report, GatePolicy(), world.store)
    check = next(one for one in decision.checks if one.name == "measured on the test split")
    assert not check.passed
    assert not decision.passed
    assert "external test set 'clinic'" in check.detail
    assert all(
        one.passed for one in decide(world.internal, GatePolicy(), world.store).checks if one.name == check.name
    )


def test_a_report_of_before_reads_as_internal(evaluated: Evaluated) -> None:
    stored = read_metrics(evaluated.store, evaluated.report).model_dump(mode="json")
    assert "external" not in stored["subject"]
    assert Metrics.model_validate(stored).subject.external is None
    assert "external" not in read_file(evaluated.store, evaluated.report, "metrics.json").decode()


def test_parent_models_count_too(world: World, tmp_path: Path) -> None:
    snapshot = store_snapshot(world.store, simple_images(range(8000, 8024)), tmp_path / "snapshot", name="other")
    options = PrepareOptions(name="other", size_px=32, n_folds=3)
    other = prepare(snapshot, options, world.store, workdir=tmp_path / "work")
    child, alone, lost = (
        publish_model(world.store, other, tmp_path / recipe, start_from=parent, recipe=recipe)
        for recipe, parent in (("child", world.model.id), ("alone", None), ("lost", "gone/000000000000"))
    )
    asked: dict[str, Any] = {"cache": tmp_path / "cache", "on_progress": ignore_progress}
    of_parent = find_overlap(world.store, child, world.external, **asked).rows
    assert of_parent.equals(find_overlap(world.store, world.model, world.external, **asked).rows)
    assert len(of_parent) == 5
    assert find_overlap(world.store, alone, world.external, **asked).rows.empty
    with pytest.raises(ArtifactNotFound, match="gone/000000000000"):
        find_overlap(world.store, lost, world.external, **asked)


def test_a_dataset_without_pixels_is_compared_by_id_and_bytes_and_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    dataset = make_dataset(store, tmp_path, n_images=56)
    model = publish_model(store, dataset.ref, tmp_path)
    used = dataset.split("train")["isic_id"].tolist()
    same = draw(int(used[0].removeprefix("ISIC_")))
    files = {
        6000: encode(same),
        6001: encode(np.rot90(draw(int(used[1].removeprefix("ISIC_"))))),
        6002: encode(draw(7)),
    }
    write_images(tmp_path / "folder", {**files, 6003: encode(draw(6003))}, {})
    test = ExternalTest(name="x", folder=str(tmp_path / "folder"), labels=("AKIEC=AK",))
    external = prepared(store, model, tmp_path, test)
    leave_image_list(store, dataset.ref.key)
    assert store.root is not None
    shutil.rmtree(store.root / dataset.ref.key)
    found = find_overlap(store, model, external, cache=tmp_path / "elsewhere", on_progress=ignore_progress)
    assert found.not_compared == (dataset.ref.id,)
    assert "ISIC_0006000" in set(found.rows["isic_id"])
    assert "ISIC_0006001" not in set(found.rows["isic_id"])


def test_a_folder_of_training_images_alone_is_refused(world: World, tmp_path: Path) -> None:
    number = int(world.dataset.split("train")["isic_id"].iloc[0].removeprefix("ISIC_"))
    write_images(tmp_path / "folder", {number: encode(draw(number))}, {})
    test = ExternalTest(name="own", folder=str(tmp_path / "folder"))
    with pytest.raises(DataError, match=r"external test set 'own', got none among 1 \(.*same isic_id"):
        evaluated(world.store, world.model, prepared(world.store, world.model, tmp_path, test), tmp_path)


def test_under_one_name_it_never_gains_an_image(world: World, tmp_path: Path) -> None:
    numbers = range(5100, 5104)
    write_images(tmp_path / "first", {number: encode(draw(number)) for number in numbers[:3]}, {})
    write_images(tmp_path / "second", {number: encode(draw(number)) for number in numbers}, {})
    first, second = (
        ExternalTest(name="grows", folder=str(tmp_path / name), labels=("AKIEC=AK",)) for name in ("first", "second")
    )
    prepared(world.store, world.model, tmp_path, first)
    report = evaluated(world.store, world.model, prepared(world.store, world.model, tmp_path, second), tmp_path)
    assert report.n_images == 3
    (late,) = read_left_out(world.store, report)
    assert late["isic_id"] == f"ISIC_{numbers[3]:07d}"
    assert late["reason"] == "came after the test set was first made; give the larger set another name"


def test_an_answer_of_any_class_of_a_pool_is_one_of_its_first() -> None:
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.ones(8), 500)
    pooled = with_pooled_answers(probs, [(AK, SCC)])
    assert ((pooled.argmax(axis=1) == AK) == np.isin(probs.argmax(axis=1), [AK, SCC])).all()
    np.testing.assert_allclose(pooled[:, AK], np.maximum(probs[:, AK], probs[:, SCC]))
    np.testing.assert_allclose(np.sort(pooled, axis=1), np.sort(probs, axis=1))
    others = [place for place in range(8) if place not in (AK, SCC)]
    np.testing.assert_array_equal(pooled[:, others], probs[:, others])


def test_a_pool_is_measured_as_one_class_and_malignancy_without_it(evaluated: Evaluated) -> None:
    rng = np.random.default_rng(4)
    true = np.repeat([class_index("MEL"), class_index("NV"), AK], 60)
    probs = rng.dirichlet(np.ones(8), len(true))
    scored = Scored(true, probs, np.arange(len(true)).astype(str))
    labels = (
        MappedLabel(label="AKIEC", classes=(Diagnosis.AK, Diagnosis.SCC), n_images=60),
        MappedLabel(label="MEL", classes=(Diagnosis.MEL,), n_images=60),
    )
    external = External(ExternalSubject(name="x", labels=labels, n_listed=180, left_out={}), pd.DataFrame())
    subject = read_metrics(evaluated.store, evaluated.report).subject.model_copy(update={"n_bootstrap": 100})
    pooled, metrics = measure_external(scored, external, subject, temperature=1.0)
    answers = probs.argmax(axis=1)
    assert metrics.classes[AK].sensitivity.value == pytest.approx(np.isin(answers[120:], [AK, SCC]).mean())
    assert metrics.classes[SCC].n_images == 0
    malignant = [class_index(name) for name in ("MEL", "BCC", "SCC")]
    assert metrics.malignancy.sensitivity.value == pytest.approx(np.isin(answers[:60], malignant).mean())
    assert metrics.malignancy.specificity.value == pytest.approx(1 - np.isin(answers[60:120], malignant).mean())
    # Calibration is of the pool's summed probability, for the shares of these images.
    weights = probs[:, [class_index("MEL"), class_index("NV"), AK, SCC]] * [1, 1, 0.5, 0.5]
    expected = (weights[:, 2] + weights[:, 3]) / weights.sum(axis=1)
    np.testing.assert_allclose(pooled.calibrated[:, AK], expected, rtol=1e-6)
    plain = measure_scores(scored, subject, temperature=1.0)
    assert plain.classes[AK].sensitivity.value == pytest.approx((answers[120:] == AK).mean())


def test_thresholds_of_single_classes_are_not_held_against_a_pool(world: World) -> None:
    found = Analyses.model_validate_json(read_file(world.store, world.report, ANALYSES_NAME))
    assert found.decisions is None
    assert found.sets is None


def test_predictions_are_filed_as_they_are_counted(world: World) -> None:
    predictions = read_predictions(world.store, world.report)
    assert set(predictions["class_index"]) == {class_index("NV"), AK}
    assert (predictions["p_AK"] >= predictions["p_SCC"]).all()
    assert np.allclose(predictions[list(PROBABILITY_COLUMNS)].sum(axis=1), 1, atol=1e-5)
    assert len(CLASS_ORDER) == len(PROBABILITY_COLUMNS)
