"""What a card's sections are called and in which order further analyses come, in every form that people read."""

from dataclasses import dataclass

from lesion_core.evaluation.card.content import TOPICS, CardTable, ModelCard
from lesion_core.evaluation.card.statements import TITLES

MAX_ATTRIBUTIONS = 40


@dataclass(frozen=True, slots=True)
class Section:
    """A topic's tables, or the reason why there is none."""

    title: str
    tables: tuple[CardTable, ...] = ()
    reason: str = ""


def sections_of(card: ModelCard) -> tuple[Section, ...]:
    """Return every topic, measured or not, and then the analyses that are on none of them."""
    topics = [Section(TITLES[one], card.sections_on(one), card.not_measured.get(one, "")) for one in TOPICS]
    return (*topics, *(Section(table.title, (table,)) for table in card.sections_on(None)))


def class_cells(card: ModelCard) -> tuple[tuple[str, ...], ...]:
    """Return rows of class, nature, and images for training and test."""
    return tuple(
        (
            f"{one.name} ({one.diagnosis})",
            one.nature,
            "not recorded" if one.n_train is None else f"{one.n_train:,}",
            f"{one.n_tested:,}",
        )
        for one in card.classes
    )
