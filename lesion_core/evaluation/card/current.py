"""A stored card as it is shown: with what the archive withdrew and what people decided since.

A stored card never changes, so both are added where it is shown.
"""

from collections.abc import Sequence

from pydantic import ValidationError

from lesion_core.errors import ArtifactCorrupt
from lesion_core.evaluation.card.content import ChangeEntry, ModelCard, Withdrawal
from lesion_core.evaluation.card.forms import JSON_NAME, Form, written
from lesion_core.evaluation.card.markdown import additions_in_markdown
from lesion_core.evaluation.card.words import MEASURED, USES
from lesion_core.evaluation.report import CARD_NAME, read_predictions
from lesion_core.isic.withdrawals import withdrawn_ids
from lesion_core.lineage.exposure import find_exposure
from lesion_core.refs import ReportRef
from lesion_core.stores.folders import read_file
from lesion_core.stores.protocol import Store


def current_card(
    store: Store, report: ReportRef, history: Sequence[ChangeEntry] | None = None, *, form: Form = "markdown"
) -> str:
    """Return a report's card, with what the archive withdrew since of its images, and what people decided.

    Markdown is the stored text with sections added; the other forms are made again from the stored content.

    Args:
        store: Where everything lives.
        report: Whose card.
        history: Decisions on the model, oldest first; ``None``: the card says nothing of them.
        form: Which of its forms.

    Raises:
        ArtifactNotFound: The report is not in the store, or is older than the asked form of the card.
        ArtifactCorrupt: Stored bytes are not those that were published, or no card of this version.
    """
    entries = None if history is None else tuple(history)
    withdrawal = find_withdrawal(store, report)
    if form == "markdown":
        return read_file(store, report, CARD_NAME).decode() + additions_in_markdown(entries, withdrawal)
    card = read_card(store, report)
    return written(card.model_copy(update={"history": entries, "withdrawal": withdrawal}), form)


def read_card(store: Store, report: ReportRef) -> ModelCard:
    """Return the content of a report's card, as it was stored; errors as of ``current_card``."""
    body = read_file(store, report, JSON_NAME)
    try:
        return ModelCard.model_validate_json(body)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected the card of report {report.id!r} in this version's form, got {error.error_count()} fields "
            "that differ; evaluate the model again",
            key=report.key,
        ) from error


def find_withdrawal(store: Store, report: ReportRef) -> Withdrawal | None:
    """Return what the archive withdrew of the images behind a report; ``None`` where that is nothing."""
    withdrawn = withdrawn_ids(store)
    if not withdrawn:
        return None
    exposure = find_exposure(store, report.model, withdrawn)
    tested = tuple(sorted(withdrawn.intersection(read_predictions(store, report)["isic_id"])))
    if not (exposure.images or tested or exposure.unknown):
        return None
    images = {USES[split]: ids for split, ids in exposure.images.items()}
    return Withdrawal(
        n_made_from=exposure.n_images,
        n_tested_on=len(tested),
        images={**images, **({MEASURED: tested} if tested else {})},
        unknown=exposure.unknown,
    )
