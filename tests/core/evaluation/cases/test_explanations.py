import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion_core.dataset.model_images import ModelImages
from lesion_core.errors import DataError
from lesion_core.evaluation.cases.curves import check_curves, curve_areas, hide_cells
from lesion_core.evaluation.cases.explained import Explained, choose_rows, explain, mean_of
from lesion_core.evaluation.cases.explanations import check_explanations, measure_reliance
from lesion_core.evaluation.cases.facts import read_facts
from lesion_core.evaluation.cases.focus import check_focus, lesion_mask, otsu_threshold
from lesion_core.evaluation.cases.weights import check_weights, rank_correlation
from lesion_core.labels import CLASS_ORDER, Sex
from lesion_core.modeling.exported.randomised import write_randomised_folder
from lesion_core.progress import Progress
from lesion_core.serving.predictor import Predictor
from lesion_core.serving.what_if import inputs_of
from lesion_core.stores.folders import materialise
from lesion_core.types import PatientMetadata
from tests.core.evaluation.cases.models import MapOf, images_of, load_model, write_convolutional_folder
from tests.core.evaluation.conftest import Evaluated
from tests.model_folders import write_model_folder

N = 56


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return images_of(N)


def explained_by(predictor: Predictor, images: np.ndarray) -> Explained:
    return explain(predictor, images, [PatientMetadata()] * len(images), np.arange(len(images)).astype(str))


def with_maps(images: np.ndarray, maps: np.ndarray) -> Explained:
    zeros = np.zeros(len(images), np.int64)
    return Explained(
        images, (PatientMetadata(),) * len(images), np.arange(len(images)).astype(str), zeros, maps, "evidence"
    )


def test_the_map_of_what_the_logits_are_made_of_passes_deletion_and_insertion(
    tmp_path: Path, images: np.ndarray
) -> None:
    predictor = load_model(tmp_path)
    found = check_curves(predictor, explained_by(predictor, images), n_bootstrap=300)
    assert found.passed is True
    assert (found.n_images, found.n_groups, found.deletion.method) == (N, N, "group bootstrap")
    assert found.in_words().startswith("The map names what the answer depends on: hiding its first cells lowers")


def test_a_map_that_is_noise_fails_deletion_and_insertion(tmp_path: Path, images: np.ndarray) -> None:
    predictor = load_model(tmp_path, map_of="noise")
    found = check_curves(predictor, explained_by(predictor, images), n_bootstrap=300)
    assert found.passed is False
    assert "not shown to be better than a random order" in found.in_words()


def test_with_few_groups_curves_have_no_interval_and_no_verdict(tmp_path: Path, images: np.ndarray) -> None:
    predictor = load_model(tmp_path)
    explained = explained_by(predictor, images[:10])
    found = check_curves(predictor, explained, n_bootstrap=50)
    assert (found.passed, found.deletion.low, found.deletion.method) == (None, None, "none")
    assert found.deletion.value is not None
    assert found == check_curves(predictor, explained, n_bootstrap=50)


def test_areas_are_those_of_the_hidden_cells_one_by_one(tmp_path: Path, images: np.ndarray) -> None:
    predictor = load_model(tmp_path)
    explained = explained_by(predictor, images[:1])
    order = np.random.default_rng(1).permutation(64)
    deletion, insertion = curve_areas(predictor, explained, 0, order[None])
    steps = np.linspace(0, 64, 11).round().astype(int)
    first = np.array([np.isin(np.arange(64), order[:step]) for step in steps])
    for hidden, area in ((first, deletion), (~first, insertion)):
        shown = np.concatenate([hide_cells(images[0], one[None], (8, 8)) for one in hidden])
        probs = predictor.predict(shown, inputs_of([PatientMetadata()] * 11)).probs[:, explained.target[0]]
        assert area[0] == pytest.approx(np.trapezoid(probs, steps / 64), abs=1e-6)


def test_hidden_cells_have_the_mean_colour_and_others_stay() -> None:
    image = images_of(1)[0]
    hidden = np.zeros((1, 64), bool)
    hidden[0, 8 * 2 + 5] = True
    (changed,) = hide_cells(image, hidden, (8, 8))
    assert (changed[16:24, 40:48] == image.mean(axis=(0, 1)).round()).all()
    changed[16:24, 40:48] = image[16:24, 40:48]
    np.testing.assert_array_equal(changed, image)


@pytest.mark.parametrize(("map_of", "passed"), [("the logits", True), ("edges", False), ("nothing", None)])
def test_a_map_that_stays_when_weights_are_shuffled_fails(
    tmp_path: Path, images: np.ndarray, map_of: MapOf, passed: bool | None
) -> None:
    folder = write_convolutional_folder(tmp_path / "model", map_of=map_of)
    randomised = Predictor.load(write_randomised_folder(folder, tmp_path / "randomised"))
    found = check_weights(randomised, explained_by(Predictor.load(folder), images), n_bootstrap=100)
    assert found.passed is passed
    assert found.n_constant == (N if passed is None else 0)
    if passed is not None:
        assert found.correlation.value is not None
        assert found.correlation.value < 0.4 if passed else found.correlation.value > 0.99
    verdicts = {True: "The map depends", False: "The map hardly depends", None: "No map could be compared"}
    assert found.in_words().startswith(verdicts[passed])


def test_rank_correlation_is_spearmans_and_unknown_for_a_constant_map() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 9, (4, 5)).astype(float)
    other = one + rng.normal(0, 4, (4, 5))
    ranks = pd.DataFrame({"one": one.ravel(), "other": other.ravel()}).rank()
    assert rank_correlation(one, other) == pytest.approx(np.corrcoef(ranks.T)[0, 1])
    assert rank_correlation(one, -np.exp(one)) == pytest.approx(-1)
    assert np.isnan(rank_correlation(one, np.ones((4, 5))))


def centred_lesions(n: int) -> np.ndarray:
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:64, :64]
    centres = rng.uniform(26, 38, (n, 2))
    spots = np.hypot(y - centres[:, 0, None, None], x - centres[:, 1, None, None]) < rng.uniform(10, 18, (n, 1, 1))
    noise = rng.normal(0, 4, (n, 64, 64))
    return np.clip(np.where(spots, 90, 200) + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=-1)


def test_evidence_in_the_lesion_passes_and_evidence_at_the_border_or_everywhere_does_not() -> None:
    images = centred_lesions(60)
    inside = np.pad(np.ones((60, 4, 4)), ((0, 0), (2, 2), (2, 2))).astype(np.float32)
    passed = check_focus(with_maps(images, inside), n_bootstrap=200)
    assert (passed.passed, passed.n_images, passed.n_without_mask) == (True, 60, 0)
    assert passed.inside.value is not None
    assert passed.area_inside.value is not None
    assert passed.inside.value > 2 * passed.area_inside.value
    assert passed.area_ring.value == pytest.approx(1 - 0.75**2, abs=0.02)  # lesions leave the ring free
    assert "in the lesion rather than at the border: 0." in passed.in_words()
    assert check_focus(with_maps(images, 1 - inside), n_bootstrap=200).passed is False
    even = check_focus(with_maps(images, np.ones_like(inside)), n_bootstrap=200)
    assert even.passed is False
    assert even.contrast.value == pytest.approx(0, abs=1e-6)


def test_images_without_a_mask_or_without_evidence_are_counted_and_left_out() -> None:
    images = centred_lesions(4)
    images[0] = 200
    images[0, 30:32, 30:32] = 20  # far below 2 % of the area
    maps = np.ones((4, 8, 8), np.float32)
    maps[1] = -1
    found = check_focus(with_maps(images, maps), n_bootstrap=20)
    assert (found.n_images, found.n_without_mask, found.n_without_evidence, found.passed) == (2, 1, 1, None)
    none = check_focus(with_maps(images, -maps[[2, 2, 2, 2]]), n_bootstrap=20)
    assert (none.n_images, none.inside.value) == (0, None)
    assert none.in_words() == (
        "Too few groups to tell whether the evidence lies in the lesion (0 images; 1 left out without a usable mask, "
        "3 without positive evidence)."
    )


def test_the_mask_is_the_lesion_and_not_the_rim_of_the_dermatoscope() -> None:
    (image,) = centred_lesions(1)
    lesion = image[..., 0] < 150
    y, x = np.mgrid[:64, :64]
    image[np.hypot(y - 31.5, x - 31.5) > 36] = 0
    mask = lesion_mask(image)
    assert mask is not None
    assert (mask & lesion).sum() / (mask | lesion).sum() > 0.85
    assert lesion_mask(np.full((64, 64, 3), 140, np.uint8)) is None
    values = np.concatenate([np.full(500, 60.0), np.full(900, 180.0)])
    assert 60 < otsu_threshold(values) < 180


def test_one_image_of_a_group_is_chosen_and_every_class_is_there() -> None:
    n = 400
    classes = np.r_[np.ones(380, int), np.repeat([0, 7], 10)]
    ids = [f"ISIC_{number:07d}" for number in range(n)]
    rows = pd.DataFrame({"isic_id": ids, "group": [f"g{number // 2}" for number in range(n)], "class_index": classes})
    chosen = choose_rows(rows)
    assert len(chosen) == chosen["group"].nunique() == 64
    assert chosen["class_index"].value_counts().to_dict() == {1: 54, 0: 5, 7: 5}
    assert chosen.equals(choose_rows(rows.sample(frac=1, random_state=3)))


def test_a_mean_has_an_interval_from_fifty_groups_on() -> None:
    values = np.random.default_rng(0).normal(1, 1, 200)
    groups = np.repeat(np.arange(100), 2).astype(str)
    many, few = (mean_of(values[:n], groups[:n], n_bootstrap=400, seed=1) for n in (200, 60))
    assert many.low is not None
    assert many.high is not None
    assert many.low < values.mean() < many.high
    assert many.high - many.low == pytest.approx(4 * values.reshape(100, 2).mean(axis=1).std() / 10, rel=0.15)
    assert (few.low, few.value) == (None, pytest.approx(values[:60].mean()))


def test_reliance_counts_what_changes_where_a_field_is_known(tmp_path: Path, images: np.ndarray) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path, temperature=1.0))
    patients = [PatientMetadata(age_years=80, sex=Sex.MALE), PatientMetadata(sex=Sex.FEMALE), PatientMetadata()]
    explained = explain(predictor, images[:3], patients, np.array(["a", "b", "c"]))
    found = {one.fields: one for one in measure_reliance(predictor, explained)}
    everything = ("age_years", "sex", "site")
    assert {names: one.n_images for names, one in found.items()} == {("age_years",): 1, ("sex",): 2, everything: 2}
    given = predictor.predict(images[:2], inputs_of(patients[:2])).probs
    without = predictor.predict(images[:2], inputs_of([PatientMetadata()] * 2)).probs
    changes = [abs(without[row, place] - given[row, place]) for row, place in enumerate(explained.target[:2])]
    assert found[everything].mean_change == pytest.approx(np.mean(changes), abs=1e-6)
    assert found[everything].n_flips == (given.argmax(axis=1) != without.argmax(axis=1)).sum()
    assert "With age, sex and site unknown, the leading class changes in" in found[everything].in_words()


def test_all_checks_of_a_stored_model_with_their_words(evaluated: Evaluated, tmp_path: Path) -> None:
    folder = materialise(evaluated.store, evaluated.model, evaluated.place / "cache")
    predictor = Predictor.load(folder, model_id=evaluated.model.id)
    randomised = Predictor.load(write_randomised_folder(folder, tmp_path))
    images = ModelImages(evaluated.dataset, evaluated.store, predictor.preprocessing)
    rows, facts = evaluated.dataset.split("test"), read_facts(evaluated.dataset.folder)
    heard: list[Progress] = []
    found = check_explanations(
        predictor, images, rows, facts, randomised=randomised, n_bootstrap=100, on_progress=heard.append
    )
    assert (found.model_id, found.map_kind, found.n_images) == (
        evaluated.model.id,
        "evidence",
        rows["group"].nunique(),
    )
    assert found.curves.passed is None
    assert found.weights is not None
    # One linear layer of three colours: whatever its weights, its map is the image's brightness.
    assert found.weights.passed is False
    assert found.passed is False
    assert [len(one.fields) for one in found.reliance] == [1, 1, 1, 3]
    assert len(found.in_words()) == 7
    assert heard[-1].done == heard[-1].total == 5
    assert type(found).model_validate_json(found.model_dump_json()) == found
    without = check_explanations(predictor, images, rows, facts, n_bootstrap=100)
    assert without == found.model_copy(update={"weights": None})
    assert without.passed is None


def test_a_head_without_evidence_is_checked_by_occlusion(tmp_path: Path, images: np.ndarray) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path, fusion="concat"))
    explained = explained_by(predictor, images[:2])
    assert (explained.map_kind, explained.maps.shape) == ("occlusion", (2, 8, 8))
    found = check_curves(predictor, explained, n_bootstrap=10)
    assert found.deletion.value is not None
    assert found.deletion.value > 0


def test_the_map_is_of_the_class_that_is_predicted_for_this_patient(tmp_path: Path, images: np.ndarray) -> None:
    predictor = Predictor.load(write_model_folder(tmp_path, temperature=1.0))
    patients = [PatientMetadata(age_years=age) for age in (0, 120)]
    explained = explain(predictor, images[[0, 0]], patients, np.array(["a", "b"]))
    probs = predictor.predict(images[[0, 0]], inputs_of(patients)).probs
    assert explained.target.tolist() == probs.argmax(axis=1).tolist()
    assert len(CLASS_ORDER) > explained.target.max()


def test_lengths_that_differ_are_refused(tmp_path: Path, images: np.ndarray) -> None:
    predictor = load_model(tmp_path)
    with pytest.raises(DataError, match="got 2 images, 1 patients and 2 groups"):
        explain(predictor, images[:2], [PatientMetadata()], np.array(["a", "b"]))
    assert dataclasses.is_dataclass(Explained)
