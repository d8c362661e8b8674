"""Cards of one small report: as it is, with all that a card may hold, and with hostile texts."""

from dataclasses import replace
from pathlib import Path

import pytest

from lesion_core.dataset.summary import describe
from lesion_core.evaluation.card import TOPICS, CardTable, ChangeEntry, ModelCard, card_of, with_sections
from lesion_core.evaluation.card.content import Withdrawal
from lesion_core.evaluation.report import read_metrics
from lesion_core.serving.model_folder import ModelFolder, read_model_folder
from lesion_core.stores.folders import materialise
from tests.core.evaluation.conftest import Evaluated

# A tag, the end of a CDATA section, a direction override, and characters that XML 1.0 has no form for.
HOSTILE = "<img src=x onerror=alert(1)> ]]> & \u202e \x00\x08\x0b\x1f\ufffe\uffff <script>alert(2)</script>"


@pytest.fixture(scope="session")
def folder(evaluated: Evaluated, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    place: Path = tmp_path_factory.mktemp("card-model")
    return read_model_folder(materialise(evaluated.store, evaluated.model, place), model_id=evaluated.model.id)


def make_card(evaluated: Evaluated, folder: ModelFolder) -> ModelCard:
    metrics = read_metrics(evaluated.store, evaluated.report)
    return card_of(metrics, evaluated.model, folder, describe(evaluated.dataset))


@pytest.fixture(scope="session")
def card(evaluated: Evaluated, folder: ModelFolder) -> ModelCard:
    """As it is stored."""
    return make_card(evaluated, folder)


@pytest.fixture(scope="session")
def full(card: ModelCard) -> ModelCard:
    """With an analysis of every topic, one of none, decisions and withdrawn images."""
    tables = [
        CardTable(
            title=f"Table of {topic}", topic=topic, note="A note.", header=("case", "value"), rows=(("a", "0.5"),)
        )
        for topic in TOPICS
        if topic in card.not_measured
    ]
    further = CardTable(title="Another analysis", note="", header=("case", "value"), rows=(("b", "not known"),))
    history = (
        ChangeEntry(at="2026-01-31T14:05:09+00:00", who="gate", what="nominated", why="Passed."),
        ChangeEntry(
            at="2026-02-01T09:00:00+00:00", who="Dr Grey", what="approved", why="Sees more.", is_approved=True
        ),
    )
    gone = Withdrawal(n_made_from=1, n_tested_on=0, images={"For training": ("ISIC_0000001",)}, unknown=("gone/1",))
    return with_sections(card, [*tables, further]).model_copy(update={"history": history, "withdrawal": gone})


@pytest.fixture(scope="session")
def minimal(card: ModelCard) -> ModelCard:
    """Of a model that states as little as it may, on a report that knows nothing."""
    unknown = {"value": None, "low": None, "high": None, "method": "none"}
    body = card.model_dump(mode="json")
    for row in body["measured"]["rows"]:
        row["estimate"] = unknown
    for one in body["measured"]["classes"]:
        one["estimates"] = dict.fromkeys(one["estimates"], unknown)
    reasons = dict.fromkeys(TOPICS, "Not done.")
    nothing = {"sections": (), "not_measured": reasons, "attributions": (), "limits": ()}
    return ModelCard.model_validate({**body, **nothing})


@pytest.fixture(scope="session")
def hostile(evaluated: Evaluated, folder: ModelFolder) -> ModelCard:
    """With such texts wherever a text comes from a source, a recipe, an analysis or a person."""
    provenance = folder.provenance.model_copy(update={"attributions": (HOSTILE,), "teacher": HOSTILE})
    changed = replace(folder, provenance=provenance, recipe={**folder.recipe, "fusion": HOSTILE, "seed": HOSTILE})
    table = CardTable(title=HOSTILE, note=HOSTILE, header=(HOSTILE, "b"), rows=((HOSTILE, HOSTILE),))
    entry = ChangeEntry(at="2026-02-01T09:00:00+00:00", who=HOSTILE, what="approved", why=HOSTILE, is_approved=True)
    card = with_sections(make_card(evaluated, changed), [table])
    data = card.data.model_copy(update={"attributions": (HOSTILE,), "licences": {HOSTILE: 1}})
    return card.model_copy(update={"history": (entry,), "data": data})
