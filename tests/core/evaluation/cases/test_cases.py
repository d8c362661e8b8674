import numpy as np
import pytest

from lesion_core.errors import DataError
from lesion_core.evaluation.cases.cases import ANNOTATOR_COLUMNS, mistakes_of, table_for_reannotation, table_of_cases
from lesion_core.evaluation.cases.facts import read_facts
from lesion_core.evaluation.cases.harm import HARM_IN_WORDS, RIGHT, harm_of
from lesion_core.evaluation.cases.licences import credit_of, display_rule
from lesion_core.evaluation.cases.neighbours import Neighbour
from lesion_core.evaluation.predictions import table_of_mistakes
from lesion_core.evaluation.report import PROBABILITY_COLUMNS, read_predictions
from lesion_core.labels import Diagnosis, class_index
from lesion_core.types import LICENCE_ORDER
from tests.core.evaluation.cases.tables import facts_for, predictions_of, sure_of
from tests.core.evaluation.conftest import Evaluated


def indices(text: str) -> np.ndarray:
    return np.array([class_index(name) for name in text.split()])


def test_a_missed_melanoma_comes_before_all_and_benign_confusions_last() -> None:
    true = indices("MEL SCC BCC MEL NV AK NV MEL")
    predicted = indices("NV AK NV BCC MEL NV BKL MEL")
    harm = harm_of(true, predicted)
    assert (np.diff(harm) >= 0).all()
    assert [HARM_IN_WORDS[rank].split(",")[0] for rank in harm.tolist()] == [
        "missed melanoma",
        "missed squamous cell carcinoma",
        "missed basal cell carcinoma",
        "malignant",
        "not malignant",
        "not malignant",
        "not malignant",
        "right",
    ]
    assert HARM_IN_WORDS[harm[4]] != HARM_IN_WORDS[harm[5]] == HARM_IN_WORDS[harm[6]]


def test_cases_are_sorted_by_harm_then_confidence() -> None:
    true, predicted = indices("NV MEL MEL NV MEL"), indices("BKL NV NV NV MEL")
    table = predictions_of(true, sure_of(predicted, np.array([0.9, 0.5, 0.7, 0.8, 0.95])))
    cases = table_of_cases(table, facts_for(table))
    assert [int(one[-1]) for one in cases["isic_id"]] == [2, 1, 0, 4, 3]
    assert len(mistakes_of(cases)) == 3
    assert (mistakes_of(cases)["harm"] < RIGHT).all()


def test_the_first_columns_and_their_values_are_those_of_the_table_of_mistakes(evaluated: Evaluated) -> None:
    predictions = read_predictions(evaluated.store, evaluated.report)
    cases = table_of_cases(predictions, read_facts(evaluated.dataset.folder))
    before = table_of_mistakes(predictions)
    ours = mistakes_of(cases)
    assert list(ours.columns[: len(before.columns)]) == list(before.columns)
    ordered = ours.sort_values("isic_id", ignore_index=True)[list(before.columns)]
    assert ordered.equals(before.sort_values("isic_id", ignore_index=True).astype(ordered.dtypes))
    assert len(cases) == len(predictions)
    malignant = cases[[name for name in PROBABILITY_COLUMNS if name in ("p_MEL", "p_BCC", "p_SCC")]].sum(axis=1)
    np.testing.assert_allclose(cases["p_malignant"], malignant, atol=2e-4)


def test_a_case_has_the_words_of_the_archive_and_nothing_where_it_states_none(evaluated: Evaluated) -> None:
    predictions = read_predictions(evaluated.store, evaluated.report)
    cases = table_of_cases(predictions, read_facts(evaluated.dataset.folder)).set_index("isic_id")
    assert set(cases["site"].dropna()) == {"head/neck"}
    assert cases["site"].isna().any()
    assert set(cases["source"]) == {"hospital a", "hospital b"}
    assert cases["conformal_set"].isna().all()
    assert cases["neighbours"].isna().all()
    assert cases["image_kind"].isna().all()


def test_sets_and_neighbours_stand_beside_the_image_they_are_of() -> None:
    table = predictions_of(indices("MEL NV"), sure_of(indices("NV NV")))
    near = Neighbour(isic_id="ISIC_0000009", diagnosis=Diagnosis.MEL, similarity=0.931)
    sets = {"ISIC_0000000": {Diagnosis.NV, Diagnosis.MEL}, "ISIC_0000001": set()}
    cases = table_of_cases(table, facts_for(table), sets=sets, neighbours={"ISIC_0000000": [near]})
    assert cases["conformal_set"].to_list() == ["MEL NV", ""]
    assert cases["neighbours"][0] == "ISIC_0000009 MEL 0.93"
    assert np.isnan(cases["neighbours"][1])


def test_text_from_outside_is_no_formula() -> None:
    table = predictions_of(indices("MEL"), sure_of(indices("NV")))
    cases = table_of_cases(table, facts_for(table, attribution="=1+1", source="@x"))
    assert cases.loc[0, ["attribution", "source"]].to_list() == ["\t=1+1", "\t@x"]


def test_an_image_without_facts_is_named() -> None:
    table = predictions_of(indices("MEL NV"), sure_of(indices("NV NV")))
    with pytest.raises(DataError, match="found none of 1 \\(ISIC_0000001"):
        table_of_cases(table, facts_for(table).drop("ISIC_0000001"))


def test_annotators_get_every_mistake_and_every_doubtful_label_with_room_to_write() -> None:
    table = predictions_of(indices("NV MEL NV NV"), sure_of(indices("NV NV NV BKL")))
    cases = table_of_cases(table, facts_for(table))
    asked = table_for_reannotation(cases, ["ISIC_0000001", "ISIC_0000002"])
    assert asked["isic_id"].to_list() == ["ISIC_0000001", "ISIC_0000003", "ISIC_0000002"]
    assert asked["reason"].to_list() == [
        "missed melanoma; the label is doubtful",
        "not malignant, taken for another class that is not malignant",
        "the label is doubtful",
    ]
    assert list(asked.columns[:5]) == ["isic_id", "true", "predicted", "probability", "reason"]
    assert (asked[list(ANNOTATOR_COLUMNS)] == "").all(axis=None)


def test_every_licence_that_is_taken_has_a_rule_and_no_other_is_shown() -> None:
    assert [credit_of(one, "Hospital  A") for one in LICENCE_ORDER] == ["", "Hospital A", "Hospital A, CC-BY-NC"]
    assert all(display_rule(one).is_shown for one in LICENCE_ORDER)
    assert not display_rule("CC-BY-ND").is_shown
