import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lesion_core.evaluation.card import FILE_NAMES, Form, ModelCard, write_cards, written
from lesion_core.evaluation.card.statements import TITLES, WRITTEN_BEFORE
from lesion_core.evaluation.card.words import SYNTHETIC
from lesion_core.serving.wording import check_wording
from tests.core.evaluation.card.conftest import HOSTILE

FORMS: tuple[Form, ...] = tuple(FILE_NAMES)
READ: tuple[Form, ...] = ("markdown", "html")
_VOID = {"meta", "rect", "br", "img", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_every_form_is_a_file(full: ModelCard, tmp_path: Path) -> None:
    write_cards(tmp_path, full)
    assert {path.name for path in tmp_path.iterdir()} == {"card.md", "card.html", "card.json", "card.xml"}
    for form, name in FILE_NAMES.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == written(full, form)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_measured_numbers_and_who_decided(full: ModelCard, form: Form) -> None:
    text = written(full, form)
    for row in full.measured.rows:
        assert row.estimate.value is not None
        shown = f"{row.estimate.value:.3f}" if form in READ else json.dumps(row.estimate.value)
        assert shown in text
    for needed in (full.identity.sha256, "Dr Grey", "Sees more.", "A hospital", full.data.dataset_id):
        assert needed in text


@pytest.mark.parametrize("form", FORMS)
def test_what_was_not_measured_is_said_with_its_reason(card: ModelCard, form: Form) -> None:
    text = written(card, form)
    assert len(card.not_measured) == 7
    for topic, reason in card.not_measured.items():
        assert reason in text
        assert (TITLES[topic] if form != "json" else topic) in text


@pytest.mark.parametrize("form", READ)
def test_a_measured_topic_is_shown_and_not_said_to_be_missing(full: ModelCard, form: Form) -> None:
    text = written(full, form)
    assert "Not measured." not in text
    for table in full.sections:
        assert table.title in text
    assert "ISIC_0000001" in text
    assert WRITTEN_BEFORE not in text


@pytest.mark.parametrize("form", FORMS)
def test_no_form_says_what_may_not_be_said(card: ModelCard, form: Form) -> None:
    assert check_wording(re.sub(r"<style>.*?</style>", "", written(card, form), flags=re.DOTALL)) == ()


def test_the_json_is_the_card(full: ModelCard) -> None:
    assert ModelCard.model_validate_json(written(full, "json")) == full


@pytest.mark.parametrize("which", ["card", "full", "minimal", "hostile"])
def test_the_page_loads_nothing_and_runs_nothing(which: str, request: pytest.FixtureRequest) -> None:
    page = Page(written(request.getfixturevalue(which), "html"))
    assert page.open == []
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "main", "nav", "section", "h1", "h2", "h3"}
    allowed |= {"p", "strong", "ul", "li", "a", "bdi", "dl", "div", "dt", "dd", "span", "svg", "rect", "table"}
    allowed |= {"thead", "tbody", "tr", "th", "td", "details", "summary"}
    assert {tag for tag, _ in page.tags} <= allowed
    names = {name for _, attributes in page.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "style", "srcset")]
    places = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links
    assert all(link and link.removeprefix("#") in places for link in links)
    policies = [one["content"] for tag, one in page.tags if "http-equiv" in one]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_hostile_texts_are_texts(hostile: ModelCard) -> None:
    page = Page(written(hostile, "html"))
    assert HOSTILE in page.text
    assert not [tag for tag, _ in page.tags if tag in ("img", "script")]
    markdown = written(hostile, "markdown")
    without_code = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown)
    assert "<img" not in without_code
    assert "<script" not in without_code
    assert ModelCard.model_validate_json(written(hostile, "json")).attributions == (HOSTILE,)


@pytest.mark.parametrize("form", FORMS)
def test_generated_images_are_marked(card: ModelCard, form: Form) -> None:
    marked = card.model_copy(update={"identity": card.identity.model_copy(update={"synthetic": True})})
    words = '"synthetic": true' if form == "json" else SYNTHETIC
    assert words in written(marked, form)
    assert words not in written(card, form)
