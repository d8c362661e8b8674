import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from lesion_core.evaluation.card import ModelCard
from lesion_core.evaluation.card.chai import NAMESPACE, write_chai
from tests.core.evaluation.card.conftest import HOSTILE

_SIGNATURES = "http://www.w3.org/2000/09/xmldsig#"


@pytest.fixture(scope="module")
def schema(chai_schema: Path) -> xmlschema.XMLSchema:
    """The schema, with the one that it imports from the copy that the validator brings along."""
    signatures = Path(xmlschema.__file__).parent / "schemas" / "DSIG" / "xmldsig-core-schema.xsd"
    return xmlschema.XMLSchema(str(chai_schema), locations={_SIGNATURES: str(signatures)}, allow="local")


@pytest.mark.parametrize("which", ["card", "full", "minimal", "hostile"])
def test_it_is_valid(schema: xmlschema.XMLSchema, which: str, request: pytest.FixtureRequest) -> None:
    text = write_chai(request.getfixturevalue(which))
    assert [str(error) for error in schema.iter_errors(text)] == []
    root = ElementTree.fromstring(text)
    assert root.tag == f"{{{NAMESPACE}}}AppliedModelCard"
    assert all((one.text or "").strip() for one in root.iter() if len(one) == 0)  # no place is left empty


def test_the_judge_refuses_a_card_with_a_part_missing(schema: xmlschema.XMLSchema, card: ModelCard) -> None:
    root = ElementTree.fromstring(write_chai(card))
    root.remove(_found(root, "Warnings"))
    assert not schema.is_valid(ElementTree.tostring(root, encoding="unicode"))


def test_a_hostile_attribution_is_a_text_and_nothing_else(hostile: ModelCard) -> None:
    root = ElementTree.fromstring(write_chai(hostile))
    allowed = "".join("\ufffd" if sign in "\x00\x08\x0b\x1f\ufffe\uffff" else sign for sign in HOSTILE)
    assert _found(root, "ThirdPartyInformation").text == f"Images by: {allowed}"
    assert {one.tag.partition("}")[0] for one in root.iter()} == {f"{{{NAMESPACE}"}
    assert not [one for one in root.iter() if one.attrib]


def test_results_are_json_with_their_intervals(card: ModelCard) -> None:
    results = _results(ElementTree.fromstring(write_chai(card)))
    for row in card.measured.rows:
        assert results[row.label] == row.estimate.model_dump()
    melanoma = card.measured.classes[0]
    found = results["MEL: sensitivity"]
    assert (found["value"], found["n_groups"]) == (melanoma.estimates["sensitivity"].value, melanoma.n_groups)
    assert results["Subgroups"] == {"value": None, "not_measured": card.not_measured["subgroups"]}


def test_every_row_of_an_analysis_is_a_result(full: ModelCard) -> None:
    results = _results(ElementTree.fromstring(write_chai(full)))
    for table in full.sections:
        assert results[table.title] == dict(zip(table.header, table.rows[-1], strict=True))


def test_it_is_released_when_it_is_approved(card: ModelCard, full: ModelCard) -> None:
    before, after = (ElementTree.fromstring(write_chai(one)) for one in (card, full))
    assert _found(before, "ReleaseDate").text == "Not released."
    assert _found(after, "ReleaseDate").text == "2026-02-01T09:00:00+00:00"
    assert "Approved by Dr Grey: Sees more." in str(_found(after, "ReleaseStage").text)
    assert "Dr Grey" in str(_found(after, "DeveloperContact").text)
    undecided = ElementTree.fromstring(write_chai(full.model_copy(update={"history": ()})))
    assert "No decision on this model is recorded." in str(_found(undecided, "ReleaseStage").text)


def _found(root: ElementTree.Element, name: str) -> ElementTree.Element:
    found = root.find(f".//{{{NAMESPACE}}}{name}")
    assert found is not None
    return found


def _results(root: ElementTree.Element) -> dict[str, dict[str, object]]:
    return {
        str(_found(one, "Label").text): json.loads(str(_found(one, "ValueJson").text))
        for one in root.iter(f"{{{NAMESPACE}}}MetricResult")
    }
