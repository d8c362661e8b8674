"""A model card as one HTML file: it loads nothing and runs nothing, so it can be mailed, printed and archived."""

from lesion_core.evaluation.card import words
from lesion_core.evaluation.card.content import ModelCard
from lesion_core.evaluation.card.layout import class_cells, sections_of
from lesion_core.evaluation.card.statements import NO_DECISION, WRITTEN_BEFORE
from lesion_core.labels import CLASSES
from lesion_core.markup import render_html
from lesion_core.serving.wording import brief_disclaimer
from lesion_core.statistics.estimates import Estimate

_BARS = "sensitivity"  # the class measure that is drawn


def write_page(card: ModelCard) -> str:
    """Return the card as HTML; every value is escaped."""
    return render_html(
        "lesion_core",
        "model_card",
        card=card,
        mark=words.SYNTHETIC if card.identity.synthetic else "",
        brief=brief_disclaimer(),
        opening=words.opening(card),
        classes=class_cells(card),
        measurement=words.measurement(card),
        headline=words.headline(card),
        by_class=words.by_class(card),
        bars=[_bar(str(row.diagnosis), row.estimates[_BARS]) for row in card.measured.classes],
        sections=sections_of(card),
        training=words.training(card),
        test_data=words.data_of_test(card),
        splits=words.splits(card),
        missing=words.missing(card),
        history=WRITTEN_BEFORE if card.history is None else ("" if card.history else NO_DECISION),
        withdrawn=words.withdrawn(card.withdrawal) if card.withdrawal else "",
        withdrawn_lines=list(words.withdrawn_lines(card.withdrawal)) if card.withdrawal else [],
        provenance=words.provenance(card),
        seeds=words.seeds(card),
    )


def _bar(diagnosis: str, estimate: Estimate) -> dict[str, object]:
    """Return where a class's number and its interval lie, in percent of the width."""
    low, high = estimate.low, estimate.high
    return {
        "label": diagnosis,
        "colour": next(facts.colour for name, facts in CLASSES.items() if str(name) == diagnosis),
        "words": estimate.in_words(),
        "at": None if estimate.value is None else round(100 * estimate.value, 2),
        "ends": None if low is None or high is None else (round(100 * low, 2), round(100 * (high - low), 2)),
    }
