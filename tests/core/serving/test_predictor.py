"""The serving path on small real ONNX models."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, ConfigError, ImageRejected
from lesion_core.fields.table import FIELDS
from lesion_core.images import preprocess
from lesion_core.labels import CLASS_ORDER, Diagnosis, Sex, Site
from lesion_core.serving.model_folder import read_model_folder, stated_prior
from lesion_core.serving.predictor import OnnxModel, Predictor, centre, explain_answer, softmax
from lesion_core.types import PatientMetadata
from tests.model_folders import SIZE_PX, Fusion, write_model_folder

KNOWN = PatientMetadata(age_years=61, sex=Sex.MALE, site=Site.HEAD_NECK)


def _pixels(seed: int = 3, n: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def _columns(n: int) -> dict[str, np.ndarray]:
    ages = np.where(np.arange(n) % 3 == 0, np.nan, 40.0 + np.arange(n)).astype(np.float32)
    codes = {"sex_code": (np.arange(n) % 3).astype(np.int32), "site_code": (np.arange(n) % 9).astype(np.int32)}
    return {"age_years": ages, **codes}


def _columns_of(patient: PatientMetadata) -> dict[str, np.ndarray]:
    return {field.input: np.array([field.encode(getattr(patient, field.name))]) for field in FIELDS}


def _jpeg(seed: int = 3) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_pixels(seed)[0]).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_batches_give_the_same_answers_as_single_images(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "hand-made" / "aaaaaaaaaaaa")
    images, columns = _pixels(n=11), _columns(11)
    batched = Predictor.load(folder, batch_size=4).predict(images, columns)
    single = Predictor.load(folder, batch_size=1).predict(images, columns)
    assert batched.logits.shape == (11, 8)
    assert batched.evidence is not None
    assert batched.evidence.shape == (11, 8, 8, 8)
    np.testing.assert_allclose(batched.logits, single.logits, atol=1e-5)
    np.testing.assert_allclose(batched.probs.sum(axis=1), 1, atol=1e-6)


def test_probabilities_are_the_calibrated_logits(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "a", temperature=2.5)
    predictions = Predictor.load(folder).predict(_pixels(n=3), _columns(3))
    np.testing.assert_allclose(predictions.probs, softmax(predictions.logits / 2.5), atol=1e-7)


def test_a_file_is_answered_as_its_preprocessed_pixels_are(tmp_path: Path) -> None:
    """Each class has the very probability that the model gives the pixels of the one way from bytes to pixels."""
    predictor = Predictor.load(write_model_folder(tmp_path / "a"))
    pixels = preprocess(_jpeg(), predictor.preprocessing, image_id="test")
    probs = predictor.predict(pixels[None], _columns_of(KNOWN)).probs[0]
    answered = {item.diagnosis: item.probability for item in predictor.predict_bytes(_jpeg(), KNOWN).classes}
    assert answered == pytest.approx(dict(zip(CLASS_ORDER, map(float, probs), strict=True)), abs=1e-6)


def test_no_image_gives_empty_outputs(tmp_path: Path) -> None:
    predictions = Predictor.load(write_model_folder(tmp_path / "a")).predict(_pixels(n=0), _columns(0))
    assert predictions.logits.shape == (0, 8)


def test_evidence_and_metadata_add_up_to_the_logits(tmp_path: Path) -> None:
    predictions = Predictor.load(write_model_folder(tmp_path / "a")).predict(_pixels(n=5), _columns(5))
    assert predictions.evidence is not None
    assert predictions.metadata_logits is not None
    total = predictions.evidence.mean(axis=(1, 2)) + predictions.metadata_logits
    np.testing.assert_allclose(total, predictions.logits, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    age=st.none() | st.floats(0, 120),
    sex=st.none() | st.sampled_from(list(Sex)),
    site=st.none() | st.sampled_from(list(Site)),
)
@pytest.mark.parametrize("fusion", ["additive", "concat", "film", "none"])
def test_shares_add_up_to_the_calibrated_value(
    tmp_path_factory: pytest.TempPathFactory,
    fusion: Fusion,
    seed: int,
    age: float | None,
    sex: Sex | None,
    site: Site | None,
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"shares-{fusion}"
    if not folder.exists():
        write_model_folder(folder, fusion=fusion)
    predictor = Predictor.load(folder)
    answer = explain_answer(predictor, _pixels(seed)[0], PatientMetadata(age_years=age, sex=sex, site=site))
    probs = np.array([answer.of(item).probability for item in CLASS_ORDER])
    shares = [answer.of(item) for item in CLASS_ORDER]
    parts = [
        [item.image_share, item.baseline_share, item.metadata_share, item.interaction_share or 0.0] for item in shares
    ]
    total = np.sum(parts, axis=1)
    assert all((item.interaction_share is None) == (fusion != "film") for item in shares)
    np.testing.assert_allclose(total, centre(np.log(probs)), atol=2e-4)
    if fusion != "concat":
        np.testing.assert_allclose(answer.maps.mean(axis=(0, 1)), [item.image_share for item in shares], atol=1e-4)


def test_metadata_changes_the_answer_and_the_difference_is_reported(tmp_path: Path) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path / "a"))
    with_metadata = predictor.predict_bytes(_jpeg(), KNOWN)
    without_metadata = predictor.predict_bytes(_jpeg(), PatientMetadata())
    for diagnosis in CLASS_ORDER:
        assert with_metadata.of(diagnosis).probability_without_metadata == pytest.approx(
            without_metadata.of(diagnosis).probability
        )
        assert without_metadata.of(diagnosis).added_by_metadata == 0
        assert without_metadata.of(diagnosis).metadata_share == 0
    assert max(abs(item.added_by_metadata) for item in with_metadata.classes) > 0.01


def test_what_patient_and_image_say_together_is_a_share_of_its_own(tmp_path: Path) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path / "a", fusion="film"))
    known = predictor.predict(_pixels(), _columns_of(KNOWN))
    assert known.interaction_logits is not None
    with_metadata = explain_answer(predictor, _pixels()[0], KNOWN)
    expected = centre(known.interaction_logits[0]) / predictor.temperature
    assert [with_metadata.of(item).interaction_share for item in CLASS_ORDER] == pytest.approx(
        list(expected), abs=1e-5
    )
    assert np.abs(expected).max() > 0.01
    other = explain_answer(predictor, 255 - _pixels()[0], with_metadata.metadata)
    for diagnosis in CLASS_ORDER:  # what the patient says alone does not hang on the image
        assert other.of(diagnosis).metadata_share == pytest.approx(
            with_metadata.of(diagnosis).metadata_share, abs=1e-5
        )
    without_metadata = explain_answer(predictor, _pixels()[0], PatientMetadata())
    assert all(item.interaction_share == 0 for item in without_metadata.classes)


def test_an_image_only_model_is_served_and_takes_nothing_from_metadata(tmp_path: Path) -> None:
    answer = Predictor.load(write_model_folder(tmp_path / "a", fusion="none")).predict_bytes(_jpeg(), KNOWN)
    assert answer.map_kind == "evidence"
    assert all(item.metadata_share == 0 for item in answer.classes)


def test_all_eight_classes_come_sorted_with_the_models_id(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "hand-made" / "bbbbbbbbbbbb", favours=Diagnosis.VASC)
    answer = Predictor.load(folder).predict_bytes(_jpeg(), KNOWN)
    assert {item.diagnosis for item in answer.classes} == set(CLASS_ORDER)
    probs = [item.probability for item in answer.classes]
    assert probs == sorted(probs, reverse=True)
    assert answer.model_id == "hand-made/bbbbbbbbbbbb"
    assert Predictor.load(folder, model_id="other/id").model_id == "other/id"


def test_occlusion_finds_the_only_cell_that_matters(tmp_path: Path) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path / "a", fusion="concat"))
    pixels = np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8)
    pixels[16:24, 40:48] = (255, 0, 0)  # row 2, column 5 of the 8 × 8 cells
    answer = explain_answer(predictor, pixels, PatientMetadata())
    assert answer.map_kind == "occlusion"
    assert answer.maps.shape == (8, 8, 8)
    strongest = np.abs(answer.maps).sum(axis=-1).argmax()
    assert divmod(int(strongest), 8) == (2, 5)


def test_no_image_is_refused_with_its_reason(tmp_path: Path) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path / "a"))
    with pytest.raises(ImageRejected) as caught:
        predictor.predict_bytes(b"no image", PatientMetadata())
    assert caught.value.reason


@pytest.mark.parametrize("field", ["class_order", "sex_order", "site_order"])
def test_another_order_is_refused(tmp_path: Path, field: str) -> None:
    folder = write_model_folder(tmp_path / "a")
    labels = json.loads((folder / "labels.json").read_text())
    labels[field] = labels[field][::-1]
    (folder / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(ConfigError, match=field):
        Predictor.load(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "a")
    (folder / "calibration.json").unlink()
    with pytest.raises(ArtifactNotFound, match=r"calibration\.json"):
        Predictor.load(folder)


@pytest.mark.parametrize("temperature", [0, -1, None, "warm", float("inf")])
def test_an_impossible_temperature_is_refused(tmp_path: Path, temperature: object) -> None:
    folder = write_model_folder(tmp_path / "a")
    (folder / "calibration.json").write_text(json.dumps({"temperature": temperature}))
    with pytest.raises(ArtifactCorrupt, match="temperature"):
        Predictor.load(folder)


@pytest.mark.parametrize("stated", [[0.5, 0.5], "flat", [0.0] * 8, [None] * 8])
def test_class_shares_that_are_none_are_refused(tmp_path: Path, stated: object) -> None:
    folder = write_model_folder(tmp_path / "a")
    (folder / "calibration.json").write_text(json.dumps({"temperature": 1.2, "class_prior": stated}))
    with pytest.raises(ArtifactCorrupt, match="class_prior of 8 shares above 0"):
        Predictor.load(folder)


def test_the_class_shares_of_an_older_model_follow_from_its_recipe_and_images(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "a")
    assert "class_prior" not in json.loads((folder / "calibration.json").read_text())
    assert stated_prior(read_model_folder(folder)) == pytest.approx(np.full(8, 1 / 8))

    def rewrite(name: str, **changes: object) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **changes}))

    rewrite("recipe.json", imbalance={"logit_adjustment": 0.0, "sampling_power": 0.0})
    counts = {str(name): 10 * place for place, name in enumerate(CLASS_ORDER, start=1)}
    rewrite("provenance.json", class_counts=counts)
    assert stated_prior(read_model_folder(folder)) == pytest.approx(np.arange(1, 9) / 36)
    rewrite("provenance.json", class_counts={})
    with pytest.raises(ConfigError, match="state its training images by class"):
        stated_prior(read_model_folder(folder))
    rewrite("calibration.json", class_prior=[0.3, *[0.1] * 7])
    assert stated_prior(read_model_folder(folder)) == pytest.approx([0.3, *[0.1] * 7])


def test_a_broken_onnx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(ArtifactCorrupt, match="readable ONNX"):
        OnnxModel(path)


def test_a_model_without_a_score_serves_and_says_that_it_does_not_know(tmp_path: Path) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path / "a"))
    assert predictor.predict(_pixels(n=2), _columns(2)).ood_score is None
    answer = predictor.predict_bytes(_jpeg(), KNOWN)
    assert answer.out_of_distribution is None
    assert not answer.is_flagged


@pytest.mark.parametrize(("share", "flagged", "is_far"), [(2, False, False), (0.8, True, False), (0.4, True, True)])
def test_an_image_is_flagged_above_the_limit_and_far_at_1_6_times_it(
    tmp_path: Path, share: float, flagged: bool, is_far: bool
) -> None:
    threshold = share * float(_pixels().mean())
    answer = Predictor.load(write_model_folder(tmp_path / "a", ood={"threshold": threshold})).predict_bytes(
        _jpeg(), KNOWN
    )
    assert (answer.is_flagged, answer.is_far) == (flagged, is_far)


@pytest.mark.parametrize(("threshold", "flagged"), [(255.0, False), (20.0, True), (None, None)])
def test_the_score_is_held_against_the_models_threshold(
    tmp_path: Path, threshold: float | None, flagged: bool | None
) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path / "a", ood={"threshold": threshold}))
    scores = predictor.predict(_pixels(n=3), _columns(3)).ood_score
    np.testing.assert_allclose(scores, _pixels(n=3).mean(axis=(1, 2, 3)), rtol=1e-4)
    likeness = predictor.predict_bytes(_jpeg(), KNOWN).out_of_distribution
    assert likeness is not None
    assert likeness.score == pytest.approx(_pixels().mean(), abs=1)
    assert (likeness.threshold, likeness.flagged) == (threshold, flagged)


def test_an_ood_file_without_its_score_or_its_fields_is_refused(tmp_path: Path) -> None:
    scored, plain = write_model_folder(tmp_path / "a", ood={}), write_model_folder(tmp_path / "b")
    (plain / "ood.json").write_bytes((scored / "ood.json").read_bytes())
    with pytest.raises(ArtifactCorrupt, match=r"expected outputs logits, embedding, ood_score .*, got logits"):
        Predictor.load(plain)
    (scored / "ood.json").write_text('{"threshold": "high"}')
    with pytest.raises(ArtifactCorrupt, match=r"ood\.json"):
        Predictor.load(scored)


def test_another_image_size_is_refused(tmp_path: Path) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path / "a"))
    with pytest.raises(ConfigError, match="uint8"):
        predictor.predict(np.zeros((1, 32, 32, 3), np.uint8), _columns(1))
    folder = write_model_folder(tmp_path / "b")
    (folder / "preprocessing.json").write_text(json.dumps({"size_px": 96}))
    with pytest.raises(ConfigError, match="96"):
        Predictor.load(folder)


def test_the_file_alone_runs_without_calibration(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "a")
    (folder / "calibration.json").unlink()
    model = OnnxModel(folder / "model.onnx", threads=1)
    outputs = model.run(_pixels(n=2), _columns(2))
    assert model.size_px == SIZE_PX
    assert set(outputs) == {"logits", "embedding", "evidence", "metadata_logits"}
