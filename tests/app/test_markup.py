"""The page's HTML: values are text, whoever they come from, and the parts are those that the style knows."""

import html.parser
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deployments.app import markup
from deployments.app.prediction_service import Standing
from lesion_core.labels import CLASS_ORDER, N_CLASSES, Diagnosis
from lesion_core.serving.out_of_distribution import Likeness
from lesion_core.serving.predictor import Answer, ClassAnswer
from lesion_core.serving.quality import QualityNote
from lesion_core.serving.wording import Statement
from lesion_core.types import PatientMetadata

UNLIKE = Likeness(score=61.3, threshold=38.0)
HOSTILE = """<script>alert("x")</script>' onerror='y' & {{ 7 * 7 }} {% raw %}"""


class _Reader(html.parser.HTMLParser):
    """Collects tags, attributes and text, and counts what is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _answer(**changes: Any) -> Answer:
    classes = tuple(
        ClassAnswer(Diagnosis(name), 0.3 - 0.03 * n, 0.2, 0.1 * n, 0.25, -0.5, interaction_share=None)
        for n, name in enumerate(CLASS_ORDER)
    )
    answer = Answer(
        model_id=HOSTILE,
        classes=classes,
        maps=np.zeros((8, 8, N_CLASSES), np.float32),
        map_kind="evidence",
        pixels=np.zeros((16, 16, 3), np.uint8),
        metadata=PatientMetadata(age_years=61),
        notes=(QualityNote("blur", HOSTILE, 0.1),),
    )
    return replace(answer, **changes)


def _standing() -> Standing:
    approval = SimpleNamespace(model_id=HOSTILE, approver=HOSTILE, at="2026-01-02T03:04:05")
    served: Any = SimpleNamespace(approval=approval, synthetic=True)
    return Standing(
        served=served,
        statements=(Statement(title=HOSTILE, text=HOSTILE),),
        answered_by="earlier" + HOSTILE,
    )


PARTS = {
    "header": lambda: markup.write_header(_standing()),
    "status": lambda: markup.write_status(_standing()),
    "not ready": lambda: markup.write_status(Standing(refusal=HOSTILE)),
    "error": lambda: markup.write_error(HOSTILE),
    "empty": markup.write_empty,
    "upload label": markup.write_upload_label,
    "preview": lambda: markup.write_preview("data:image/png;base64,AAAA", 3, 4),
    "answer": lambda: markup.write_answer(_answer()),
    "map": lambda: markup.write_map(_answer(), Diagnosis.MEL),
    "out of distribution": lambda: markup.write_out_of_distribution(_answer(out_of_distribution=UNLIKE)),
    "metadata": lambda: markup.write_metadata(_answer()),
    "disclaimer": lambda: markup.write_disclaimer(_standing()),
    "reminder": markup.write_reminder,
}
WITH_FOREIGN_TEXT = {"status": 3, "not ready": 1, "error": 1, "answer": 2, "out of distribution": 1, "disclaimer": 2}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_whole_and_shows_foreign_text_as_text(part: str) -> None:
    read = _Reader(PARTS[part]())
    assert read.open == []
    assert "script" not in read.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert read.text.count(HOSTILE) == WITH_FOREIGN_TEXT.get(part, 0)


def test_no_message_is_no_paragraph() -> None:
    assert markup.write_error("") == ""


def test_the_leading_class_and_the_kinds_are_marked() -> None:
    page = markup.write_answer(_answer(notes=()))
    assert page.count("lf-leading") == 1
    assert f'lf-bar-malignant lf-leading" data-class="{CLASS_ORDER[0]}"' in page
    assert 'style="width: 30.0%"' in page
    assert page.count('<span class="lf-mark lf-malignant">malignant</span>') == 3
    assert page.count('<span class="lf-mark lf-precancerous">precancerous</span>') == 1
    assert "lf-quality" not in page


@pytest.mark.parametrize(
    ("likeness", "n_warnings"), [(UNLIKE, 1), (Likeness(37.9, 38.0), 0), (Likeness(99.0, None), 0), (None, 0)]
)
def test_an_answer_to_an_image_that_is_flagged_has_a_warning_above_it(
    likeness: Likeness | None, n_warnings: int
) -> None:
    page = markup.write_answer(_answer(out_of_distribution=likeness))
    assert page.count("(score 61.3, limit 38.0). Its answer means nothing here") == n_warnings
    assert page.count("lf-notice") == n_warnings
    assert page.count('class="lf-row') == N_CLASSES


def test_a_refusal_shows_no_probability() -> None:
    page = markup.write_out_of_distribution(_answer(out_of_distribution=UNLIKE, notes=()))
    assert "(score 61.3, limit 38.0). Its answer means nothing here: do not use it." in page
    assert "%" not in page
    assert "lf-row" not in page


def test_metadata_is_reported_by_what_it_did() -> None:
    assert markup.write_metadata(_answer(metadata=PatientMetadata())).count("<table") == 0
    unused = tuple(replace(item, metadata_share=0.0) for item in _answer().classes)
    assert markup.write_metadata(_answer(classes=unused)).count("<table") == 0
    assert markup.write_metadata(_answer()).count("<table") == 1
    both = tuple(replace(item, interaction_share=-0.25) for item in _answer().classes)
    page = markup.write_metadata(_answer(classes=both))
    assert page.count("<table") == 2
    assert page.count("<td>−0.25</td>") == N_CLASSES
    assert page.count("<td>+0.25</td>") == N_CLASSES


def test_the_package_has_a_template_for_each_part_and_no_other() -> None:
    names = {path.name.removesuffix(".html.j2") for path in files("deployments.app").joinpath("templates").iterdir()}
    assert names == {part.replace(" ", "_") for part in PARTS}
