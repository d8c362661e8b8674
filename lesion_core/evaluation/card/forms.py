"""The forms of a card, as files of a report's folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from lesion_core.evaluation.card.chai import write_chai
from lesion_core.evaluation.card.content import ModelCard
from lesion_core.evaluation.card.markdown import write_markdown
from lesion_core.evaluation.card.page import write_page
from lesion_core.evaluation.report import CARD_NAME

Form = Literal["markdown", "html", "json", "chai"]
JSON_NAME = "card.json"
FILE_NAMES: Mapping[Form, str] = {
    "markdown": CARD_NAME,
    "html": "card.html",
    "json": JSON_NAME,
    "chai": "card.xml",
}


def write_json(card: ModelCard) -> str:
    """Return the card's content as JSON, which ``ModelCard.model_validate_json`` reads."""
    return card.model_dump_json(indent=1) + "\n"


_WRITERS: Mapping[Form, Callable[[ModelCard], str]] = {
    "markdown": write_markdown,
    "html": write_page,
    "json": write_json,
    "chai": write_chai,
}


def written(card: ModelCard, form: Form) -> str:
    """Return the card in one of its forms."""
    return _WRITERS[form](card)


def write_cards(folder: Path, card: ModelCard) -> None:
    """Write every form of the card into a folder, UTF-8."""
    for form, name in FILE_NAMES.items():
        (folder / name).write_text(written(card, form), encoding="utf-8", newline="\n")
