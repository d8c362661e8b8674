import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesion_core.dataset.model_images import ModelImages
from lesion_core.errors import ConfigError
from lesion_core.evaluation.cases.cases import mistakes_of, table_of_cases
from lesion_core.evaluation.cases.facts import read_facts
from lesion_core.evaluation.cases.gallery import MOST_OF_A_CONFUSION, CaseGallery, GallerySources, build_gallery
from lesion_core.evaluation.cases.neighbours import Neighbour, find_neighbours
from lesion_core.evaluation.cases.thumbnails import NEIGHBOUR_SIDE_PX, SIDE_PX, Thumbnail, thumbnail_of
from lesion_core.evaluation.report import read_predictions
from lesion_core.labels import CLASS_ORDER, Diagnosis
from lesion_core.serving.predictor import Predictor
from lesion_core.stores.folders import materialise
from tests.core.evaluation.conftest import Evaluated


@pytest.fixture(scope="module")
def sources(evaluated: Evaluated) -> GallerySources:
    predictor = Predictor.load(materialise(evaluated.store, evaluated.model, evaluated.place / "cache"))
    images = ModelImages(evaluated.dataset, evaluated.store, predictor.preprocessing)
    facts = read_facts(evaluated.dataset.folder)
    test, train = evaluated.dataset.split("test"), evaluated.dataset.split("train")
    near = find_neighbours(predictor, images, test, train, facts)
    return GallerySources(images, evaluated.dataset.rows, facts, predictor, near)


@pytest.fixture(scope="module")
def cases(evaluated: Evaluated, sources: GallerySources) -> pd.DataFrame:
    predictions = read_predictions(evaluated.store, evaluated.report)
    sets = {one: {Diagnosis.MEL} for one in predictions["isic_id"]}
    return table_of_cases(predictions, sources.facts, sets=sets, neighbours=sources.neighbours)


@pytest.fixture(scope="module")
def gallery(cases: pd.DataFrame, sources: GallerySources) -> CaseGallery:
    return build_gallery(cases, sources)


def opened(picture: Thumbnail | None) -> np.ndarray:
    assert picture is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.jpeg))))


def test_every_confusion_is_there_by_harm_then_count(gallery: CaseGallery, cases: pd.DataFrame) -> None:
    mistakes = mistakes_of(cases)
    counts = mistakes.groupby(["true", "predicted"]).size()
    assert {(one.true, one.predicted): one.n_images for one in gallery.confusions} == counts.to_dict()
    order = [(one.harm, -one.n_images) for one in gallery.confusions]
    assert order == sorted(order)
    assert len({one.harm for one in gallery.confusions}) >= 3
    assert gallery.n_images == len(mistakes) == gallery.n_shown
    assert gallery.in_words() == f"All {len(mistakes)} misclassified images are shown."


def test_a_case_has_its_picture_answer_facts_neighbours_and_maps(
    gallery: CaseGallery, cases: pd.DataFrame, sources: GallerySources
) -> None:
    table = cases.set_index("isic_id")
    for case in (gallery.confusions[0].cases[0], gallery.confusions[-1].cases[-1]):
        row, fact = table.loc[case.isic_id], sources.facts.loc[case.isic_id]
        pixels = sources.images.pixels(sources.rows[sources.rows["isic_id"] == case.isic_id])[0]
        assert np.abs(opened(case.picture).astype(float) - pixels).mean() < 6
        assert case.probabilities[CLASS_ORDER.index(case.predicted)] == row["p_of_predicted"]
        assert case.metadata.age_years == fact["age_years"]
        assert case.confirm_type == "histopathology"
        assert case.conformal_set == (Diagnosis.MEL,)
        assert case.credit == fact["attribution"]
        expected = sources.neighbours[case.isic_id][:3]
        assert tuple(one.neighbour for one in case.neighbours) == expected
        assert all(len(opened(one.picture)) == NEIGHBOUR_SIDE_PX for one in case.neighbours)
        assert case.maps is not None
        assert case.maps.kind == "evidence"
        assert opened(case.maps.true).shape == opened(case.maps.predicted).shape == (SIDE_PX, SIDE_PX, 3)
        assert case.maps.true != case.maps.predicted


@pytest.mark.parametrize("limit_bytes", [30_000, 120_000])
def test_it_is_never_larger_than_the_limit_and_says_what_is_left_out(
    cases: pd.DataFrame, sources: GallerySources, limit_bytes: int
) -> None:
    gallery = build_gallery(cases, sources, limit_bytes=limit_bytes)
    size = len(gallery.model_dump_json().encode())
    largest = max(len(case.model_dump_json()) for one in gallery.confusions for case in one.cases)
    assert limit_bytes - 2 * largest < size <= limit_bytes
    assert (
        0 < gallery.n_shown < gallery.n_images == sum(len(one.cases) + one.n_left_out for one in gallery.confusions)
    )
    assert gallery.in_words().startswith(f"{gallery.n_shown} of {gallery.n_images} misclassified")
    shown = [len(one.cases) for one in gallery.confusions]
    first = max(range(len(shown)), key=lambda place: shown[place])
    assert all(n + 1 >= min(shown[first], one.n_images) for n, one in zip(shown, gallery.confusions, strict=True))


def test_a_limit_without_room_for_anything_is_refused(cases: pd.DataFrame, sources: GallerySources) -> None:
    with pytest.raises(ConfigError, match="raise the limit"):
        build_gallery(cases, sources, limit_bytes=100)


def test_a_confusion_shows_no_more_than_its_most(cases: pd.DataFrame, sources: GallerySources) -> None:
    gallery = build_gallery(cases, sources, most=1)
    assert [len(one.cases) for one in gallery.confusions] == [1] * len(gallery.confusions)
    assert MOST_OF_A_CONFUSION == 12


def test_an_image_is_shown_only_where_its_licence_allows_it(cases: pd.DataFrame, sources: GallerySources) -> None:
    facts = sources.facts.assign(licence="CC-BY-ND")
    closed = GallerySources(sources.images, sources.rows, facts, sources.predictor, sources.neighbours)
    case = build_gallery(cases, closed, most=1).confusions[0].cases[0]
    assert case.picture is None
    assert case.maps is None
    assert all(one.picture is None for one in case.neighbours)
    assert len(case.neighbours) == 3
    research = GallerySources(sources.images, sources.rows, sources.facts.assign(licence="CC-BY-NC"))
    case = build_gallery(cases, research, most=1).confusions[0].cases[0]
    assert case.picture is not None
    assert case.credit.endswith(", CC-BY-NC")
    assert case.maps is None


def test_no_mistake_makes_an_empty_gallery(cases: pd.DataFrame, sources: GallerySources) -> None:
    gallery = build_gallery(cases[cases["harm_in_words"] == "right"], sources)
    assert gallery.confusions == ()
    assert gallery.n_images == 0


def test_a_thumbnail_is_never_larger_than_its_image_nor_than_the_limit() -> None:
    assert thumbnail_of(np.zeros((300, 300, 3), np.uint8)).side_px == SIDE_PX
    assert thumbnail_of(np.zeros((50, 50, 3), np.uint8)).side_px == 50


def test_what_a_neighbour_is_in_words() -> None:
    assert (
        Neighbour(isic_id="ISIC_0000001", diagnosis=Diagnosis.NV, similarity=0.5).in_words() == "ISIC_0000001 NV 0.50"
    )
