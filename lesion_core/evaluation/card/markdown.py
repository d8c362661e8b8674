"""A model card as Markdown: for terminals, for the Prefect UI and for whoever compares two of them line by line."""

from lesion_core.evaluation.card import words
from lesion_core.evaluation.card.content import ChangeEntry, ModelCard, Withdrawal
from lesion_core.evaluation.card.layout import MAX_ATTRIBUTIONS, class_cells, sections_of
from lesion_core.evaluation.card.statements import NO_DECISION, WRITTEN_BEFORE
from lesion_core.markup import Markdown, code, escape_markdown, render_markdown, table
from lesion_core.serving.wording import brief_disclaimer

SYNTHETIC_LINE = f"**{words.SYNTHETIC}**"
WITHDRAWN_TITLE = "Withdrawn images"
DECISIONS_TITLE = "Decisions on this model"


def write_markdown(card: ModelCard) -> str:
    """Return the card as Markdown; where anything is synthetic, its first line says so."""
    text = render_markdown(
        "lesion_core",
        "model_card",
        card=card,
        mark=words.SYNTHETIC if card.identity.synthetic else "",
        brief=brief_disclaimer(),
        opening=Markdown(words.opening(card, code)),
        classes=class_cells(card),
        measurement=Markdown(words.measurement(card, code)),
        headline=words.headline(card),
        by_class=words.by_class(card),
        sections=sections_of(card),
        training=Markdown(words.training(card, code)),
        test_data=Markdown(words.data_of_test(card, code)),
        splits=words.splits(card),
        missing=Markdown(words.missing(card, by_column=True)),
        licence=_licence(card),
        history=WRITTEN_BEFORE if card.history is None else _decisions(card.history),
        provenance=[(what, code(name), code(sha256)) for what, name, sha256 in words.provenance(card)],
        seeds=words.seeds(card),
    )
    return text + (f"\n{_withdrawn(card.withdrawal)}" if card.withdrawal else "")


def additions_in_markdown(history: tuple[ChangeEntry, ...] | None, withdrawal: Withdrawal | None) -> str:
    """Return what is added to a stored card where it is shown; empty where there is nothing to add."""
    parts = [] if history is None else [f"## {DECISIONS_TITLE}\n\n{_decisions(history)}\n"]
    parts += [_withdrawn(withdrawal)] if withdrawal else []
    return "".join(f"\n{part}" for part in parts)


def _decisions(history: tuple[ChangeEntry, ...]) -> Markdown:
    if not history:
        return Markdown(NO_DECISION)
    return table(("When (UTC)", "Who", "What", "Why"), [(one.when, one.who, one.what, one.why) for one in history])


def _withdrawn(withdrawal: Withdrawal) -> str:
    lines = "\n".join(f"- {line}" for line in words.withdrawn_lines(withdrawal, code))
    return f"## {WITHDRAWN_TITLE}\n\n{words.withdrawn(withdrawal)}\n\n{lines}\n"


def _licence(card: ModelCard) -> Markdown:
    named = escape_markdown("; ".join(card.attributions[:MAX_ATTRIBUTIONS]))
    rest = len(card.attributions) - MAX_ATTRIBUTIONS
    credit = f"Images by: {named}{f'; and {rest:,} more, in provenance.json' if rest > 0 else ''}."
    return Markdown(
        f"The most restrictive licence of any image used is **{card.licence}**; the model is offered "
        f"under no wider terms than that. {credit if card.attributions else 'No attribution is recorded.'}"
    )
