from dataclasses import replace

import pytest
from pydantic import ValidationError

from lesion_core.dataset.summary import describe
from lesion_core.evaluation.card import TOPICS, CardTable, ModelCard, Topic, with_sections
from lesion_core.evaluation.card.compose import card_of
from lesion_core.evaluation.card.statements import NO_SKIN_TONE, REASONS, SAME_SOURCES, TITLES
from lesion_core.evaluation.report import read_metrics
from lesion_core.fields.table import FIELDS
from lesion_core.labels import CLASS_ORDER, CLASSES, Site
from lesion_core.serving.model_folder import ModelFolder
from lesion_core.statistics.measures import CLASS_MEASURES, MEASURES
from tests.core.evaluation.conftest import Evaluated


def table(topic: Topic | None = None) -> CardTable:
    return CardTable(title="T", note="", header=("a", "b"), rows=(("1", "2"),), topic=topic)


def test_every_topic_is_answered_or_has_a_reason(card: ModelCard) -> None:
    answered = {one.topic for one in card.sections if one.topic is not None}
    assert answered == {"calibration"}
    assert answered | set(card.not_measured) == set(TOPICS) == set(REASONS) == set(TITLES)
    assert all(card.not_measured.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"not_measured": {}}, "got neither for"),
        ({"not_measured": dict(REASONS)}, r"got both for \['calibration'\]"),
        ({"sections": ()}, r"got neither for \['calibration'\]"),
    ],
)
def test_a_card_that_leaves_a_topic_out_is_none(card: ModelCard, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelCard.model_validate({**card.model_dump(), **changes})


def test_an_analysis_takes_the_place_of_the_reason(card: ModelCard) -> None:
    more = with_sections(card, [table("stress"), table()])
    assert "stress" in card.not_measured
    assert "stress" not in more.not_measured
    assert more.sections_on("stress") == (table("stress"),)
    assert more.sections_on(None) == (*card.sections_on(None), table())
    assert SAME_SOURCES in more.limits
    assert SAME_SOURCES not in with_sections(more, [table("external tests")]).limits
    assert ModelCard.model_validate(with_sections(more, [table("external tests")]).model_dump())


def test_skin_tone_is_said_to_be_unknown_only_where_no_subgroup_has_one(card: ModelCard) -> None:
    def by(field: str) -> CardTable:
        return CardTable(title="S", note="", header=("field", "n"), rows=((field, "30"),), topic="subgroups")

    assert NO_SKIN_TONE in with_sections(card, [by("sex")]).limits
    assert NO_SKIN_TONE not in with_sections(card, [by("skin type")]).limits


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected 2 cells in each row of 'T', got 1"):
        CardTable(title="T", note="", header=("a", "b"), rows=(("1", "2"), ("3",)))


def test_every_number_is_the_reports(card: ModelCard, evaluated: Evaluated) -> None:
    metrics = read_metrics(evaluated.store, evaluated.report)
    assert [(row.name, row.estimate) for row in card.measured.rows] == [
        (one.name, metrics.estimate(one)) for one in MEASURES if one.is_headline
    ]
    for row, of_class in zip(card.measured.classes, metrics.classes, strict=True):
        assert row.estimates == {one.name: of_class.estimate(one) for one in CLASS_MEASURES}
        assert (row.n_images, row.n_groups) == (of_class.n_images, of_class.n_groups)
    (bins,) = card.sections_on("calibration")
    images = [count for count, _, _ in metrics.probabilities.bins if count]
    assert [row[1] for row in bins.rows] == [str(count) for count in images]
    right = sum(round(float(row[3]) * count) for row, count in zip(bins.rows, images, strict=True))
    assert right == sum(metrics.confusion[place][place] for place in range(len(CLASS_ORDER)))


def test_it_says_who_is_missing(card: ModelCard) -> None:
    said = " ".join(card.data.absences)
    assert "No image of: Vascular lesion." in said
    used = {value.rpartition(" ")[0] for value in dict(card.data.people.rows)["Site"].split(", ")}
    missing = [site for site in Site if str(site) not in used]
    assert missing
    assert f"No image with site: {', '.join(missing)}." in said
    assert "Skin tone" in said
    assert [name for name, _ in card.data.people.rows][: len(FIELDS)] == [field.title for field in FIELDS]


def test_classes_come_with_their_nature_and_images(card: ModelCard, evaluated: Evaluated) -> None:
    tested = evaluated.dataset.split("test")["class_index"].value_counts()
    for place, entry in enumerate(card.classes):
        assert entry.diagnosis == CLASS_ORDER[place]
        assert entry.nature == CLASSES[entry.diagnosis].nature
        assert (entry.n_train, entry.n_tested) == (80, tested.get(place, 0))


def test_a_path_of_weights_keeps_its_folder_to_itself(evaluated: Evaluated, folder: ModelFolder) -> None:
    recipe = {**folder.recipe, "weights": "/home/one-of-us/net.h5"}
    made = card_of(
        read_metrics(evaluated.store, evaluated.report),
        evaluated.model,
        replace(folder, recipe=recipe),
        describe(evaluated.dataset),
    )
    assert made.identity.start_weights == "net.h5"
    assert "one-of-us" not in made.model_dump_json()


def test_only_the_last_move_counts_as_approval(full: ModelCard) -> None:
    assert full.history is not None
    approved = full.history[-1]
    assert full.approval == approved
    rejected = approved.model_copy(update={"what": "no longer the approved model", "is_approved": False})
    nominated = full.history[0]
    assert full.model_copy(update={"history": (approved, nominated)}).approval == approved
    assert full.model_copy(update={"history": (approved, rejected)}).approval is None
    assert full.model_copy(update={"history": None}).approval is None
