"""The report opens anywhere, shows what is stored, and escapes whatever came from an archive."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from lesion_core.dataset.proof.certificate import read_certificate
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.card.content import CardTable
from lesion_core.evaluation.rendering.page import Picture, ShownCase, ShownPair, write_page
from lesion_core.evaluation.rendering.remarks import remarks_on
from lesion_core.evaluation.rendering.tables import tables_of
from lesion_core.evaluation.report import Metrics, read_remarks, report_address
from lesion_core.stores.folders import read_file
from tests.core.evaluation.conftest import Evaluated

HOSTILE = "<img src=x onerror=alert(1)> & “quoted”"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


class _Page(HTMLParser):
    """What a page asks for, which tags it has, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_stored_report_needs_nothing_else_and_runs_nothing(evaluated: Evaluated, metrics: Metrics) -> None:
    page = _Page(read_file(evaluated.store, evaluated.report, "report.html").decode())
    assert "script" not in page.tags
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert metrics.subject.model_id in page.words
    for row in metrics.headline_rows():
        assert row["value"] in page.words
    assert sum(address.startswith("data:image/png") for address in page.addresses) >= 10


def test_every_analysis_has_its_table_in_report_and_card(evaluated: Evaluated, analyses: Analyses) -> None:
    page = _Page(read_file(evaluated.store, evaluated.report, "report.html").decode())
    card = read_file(evaluated.store, evaluated.report, "card.md").decode()
    titles = [table.title for table in tables_of(analyses)]
    assert {"Operating points", "Conformal sets", "Subgroups", "Stress tests", "Missing metadata"} <= set(titles)
    for title in titles:
        assert title in page.words
        assert title in card
    shown = json.loads(read_file(evaluated.store, evaluated.report, "card.json"))
    assert set(shown["not_measured"]) == {"external tests"}


def test_what_to_know_first_is_stored_and_stands_on_the_page(
    evaluated: Evaluated, metrics: Metrics, analyses: Analyses
) -> None:
    remarks = read_remarks(evaluated.store, evaluated.report)
    assert remarks == remarks_on(metrics, analyses, read_certificate(evaluated.dataset.folder).shortcuts)
    page = _Page(read_file(evaluated.store, evaluated.report, "report.html").decode())
    assert remarks
    assert all(remark in page.words for remark in remarks)
    assert any("VASC" in remark for remark in remarks)  # no image of it is in the split
    assert any("Too few calibration groups for a promise" in remark for remark in remarks)
    scores_alone = remarks_on(metrics, None)
    assert any("Scores alone were measured" in remark for remark in scores_alone)


def test_the_address_leads_to_the_page(evaluated: Evaluated) -> None:
    address = report_address(evaluated.store, evaluated.report)
    assert Path(re.sub("^file://", "", address)).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_foreign_text_is_text_and_cases_are_chosen_without_a_script(metrics: Metrics, tmp_path: Path) -> None:
    case = ShownCase((Picture(PIXEL, 64, HOSTILE),), (f"Images: {HOSTILE}",))
    pairs = [
        ShownPair("Melanoma taken for melanocytic nevus", "MEL as NV", 14, 13, (case,)),
        ShownPair("Melanocytic nevus taken for melanoma", "NV as MEL", 1, 0, (case,)),
    ]
    table = CardTable(title=HOSTILE, note=HOSTILE, header=("a",), rows=((HOSTILE,),))
    text = write_page(tmp_path, metrics, [table], [HOSTILE], pairs, "how").read_text(encoding="utf-8")
    page = _Page(text)
    assert "<img src=x" not in text
    assert page.words.count(HOSTILE) >= 6
    assert "14 images, 13 of them not shown" in page.words
    for number in (1, 2):
        assert f"#pair-{number}:checked ~ .pair-{number} {{ display: block; }}" in text
        assert f"pair-{number}" in page.ids
    assert "script" not in page.tags


def test_without_mistakes_there_is_no_section_of_them(metrics: Metrics, tmp_path: Path) -> None:
    text = write_page(tmp_path, metrics, [], []).read_text(encoding="utf-8")
    assert "Misclassified images" not in _Page(text).words
