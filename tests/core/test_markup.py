"""Markup: whatever a value looks like, it stays text; and nothing that a template asks for may lack."""

import html
import re
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesion_core import markup
from lesion_core.markup import Markdown, code, escape_markdown, signed, table

TEMPLATES = sorted(Path(markup.__file__).with_name("templates").iterdir())
HOSTILE = "<script>alert('x')</script> | [click](javascript:x) **b** _i_ `c`\n\n# title\n- item & \"quoted\" \\|"


def test_a_hostile_cell_stays_in_its_cell() -> None:
    lines = table(("a", "b"), [(HOSTILE, 1)]).splitlines()
    assert lines[:2] == ["| a | b |", "| --- | --- |"]
    assert len(lines) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", lines[2])) == 3
    assert "<" not in lines[2]
    assert "](" not in re.sub(r"\\.", "", lines[2])
    assert "**" not in lines[2]


@given(st.text())
def test_escaped_text_is_one_line_without_live_signs(text: str) -> None:
    escaped = escape_markdown(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"[`*_\[\]|<>]", re.sub(r"\\.", "", escaped))
    plain = html.unescape(re.sub(r"\\([\\`*_\[\]|])", r"\1", escaped)) if "&" not in text else None
    assert plain in (None, " ".join(text.split()))
    assert escape_markdown(escaped) == escaped  # it is Markdown by now


@given(st.text(st.sampled_from("a`| \n"), min_size=1))
def test_a_code_span_ends_where_its_text_does(text: str) -> None:
    span = code(text)
    fence = re.match("`+", span)[0]  # type: ignore[index]
    inner = span[len(fence) : -len(fence)]
    assert fence not in re.findall("`+", inner)
    assert inner.replace("\\|", "|").strip() == " ".join(text.split())
    assert "\n" not in span
    assert not re.search(r"(?<!\\)\|", span)


def test_what_is_markdown_already_is_left() -> None:
    assert table(("name",), [(Markdown("[a](b)"),), (code("x|y"),)]).splitlines()[2:] == ["| [a](b) |", "| `x\\|y` |"]


def test_a_row_of_another_length_is_no_row() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        table(("a", "b"), [("only one",)])


def test_a_value_that_is_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="title"):
        markup.render_html("lesion_core", "dataset_report")
    with pytest.raises(jinja2.UndefinedError, match="synthetic"):
        markup.render_markdown("lesion_core", "comparison")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_are_valid_and_escape(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.name.endswith((".html.j2", ".md.j2"))
    jinja2.Environment().parse(text)
    assert "|safe" not in text
    assert "autoescape" not in text


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "0.00"), (-0.004, "0.00"), (0.005, "+0.01"), (1.5, "+1.50"), (-2, "−2.00")]
)
def test_signed_numbers(value: float, words: str) -> None:
    assert signed(value) == words
