"""The model card: what a model is, what it was made from, how well it does, and where it must not be trusted.

``card_of`` makes its content from what is stored; ``write_cards`` writes it as Markdown, HTML, JSON and XML.
"""

from lesion_core.dataset.summary import DatasetSummary
from lesion_core.evaluation.card.compose import card_of, with_sections
from lesion_core.evaluation.card.content import TOPICS, CardTable, ChangeEntry, ModelCard, Topic
from lesion_core.evaluation.card.current import current_card, read_card
from lesion_core.evaluation.card.forms import FILE_NAMES, Form, write_cards, written
from lesion_core.evaluation.card.markdown import SYNTHETIC_LINE, WITHDRAWN_TITLE, write_markdown
from lesion_core.evaluation.report import Metrics
from lesion_core.refs import ModelRef
from lesion_core.serving.model_folder import ModelFolder

__all__ = [
    "FILE_NAMES",
    "SYNTHETIC_LINE",
    "TOPICS",
    "WITHDRAWN_TITLE",
    "CardTable",
    "ChangeEntry",
    "Form",
    "ModelCard",
    "Topic",
    "card_of",
    "current_card",
    "read_card",
    "with_sections",
    "write_card",
    "write_cards",
    "written",
]


def write_card(metrics: Metrics, model: ModelRef, folder: ModelFolder, dataset: DatasetSummary) -> str:
    """Return the card as Markdown; arguments as of ``card_of``."""
    return write_markdown(card_of(metrics, model, folder, dataset))
