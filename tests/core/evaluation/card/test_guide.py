"""docs/model-card.md points only to what there is, and answers every item."""

import re
from pathlib import Path

import pytest

from lesion_core.evaluation.card import FILE_NAMES, TOPICS, ModelCard, written
from lesion_core.evaluation.card.statements import TITLES
from tests.core.evaluation.test_job import FILES

ROOT = Path(__file__).parents[4]
GUIDE = ROOT / "docs" / "model-card.md"
TEXT = GUIDE.read_text(encoding="utf-8")
# Which of the 27 items have parts.
PARTS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
TRIPOD = [f"{number}{part}" for number in range(1, 28) for part in PARTS.get(number, "") or [""]]


def items(name: str) -> list[tuple[str, str, str]]:
    block = TEXT.partition(f"<!-- items: {name} -->\n")[2].partition("<!-- end -->")[0]
    lines = [re.split(r" \| ", line.strip("| ")) for line in block.strip().splitlines()[2:]]
    assert {len(line) for line in lines} == {3}
    return [(line[0], line[1], line[2]) for line in lines]


ROWS = [*items("clear-derm"), *items("tripod-ai")]


def slugs(page: Path) -> set[str]:
    """Anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_every_item_is_there_once() -> None:
    assert [item for item, _, _ in items("tripod-ai")] == TRIPOD
    names = [item for item, _, _ in items("clear-derm")]
    assert len(names) == len(set(names)) == 25
    assert {name.partition(":")[0] for name in names} == {"Data", "Technique", "Assessment", "Application"}


@pytest.mark.parametrize(("item", "asks", "where"), ROWS, ids=[row[0].replace(" ", "-") for row in ROWS])
def test_an_item_is_answered_or_said_not_to_be(item: str, asks: str, where: str, card: ModelCard) -> None:
    assert asks
    links = re.findall(r"\]\(([^)]+)\)", where)
    sections, files = re.findall(r"\*\*([^*]+)\*\*", where), re.findall(r"`([^` ]+)`", where)
    points = bool(links or sections or files) or "first lines of the card" in where or item in ("18f",)
    assert points or "not done" in where.lower()
    headings = set(re.findall(r"^## (.+)$", written(card, "markdown"), re.MULTILINE))
    assert set(sections) <= headings
    for link in links:
        file, _, anchor = link.partition("#")
        page = (GUIDE.parent / file).resolve()
        assert page.is_file(), link
        assert anchor in slugs(page), link
    for file in files:
        assert file in FILES | {"model.onnx"} or (ROOT / file).is_file(), file


def test_the_forms_and_topics_are_those_that_there_are() -> None:
    table = TEXT.partition("| file in the report's folder |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)) == set(FILE_NAMES.values())
    assert ", ".join(TOPICS) in " ".join(TEXT.split())
    assert set(TITLES) == set(TOPICS)
