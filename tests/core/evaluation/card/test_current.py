import shutil
from pathlib import Path

import pytest

from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound
from lesion_core.evaluation.card import ChangeEntry, ModelCard, current_card, read_card
from lesion_core.evaluation.card.statements import NO_DECISION
from lesion_core.isic.withdrawals import note_withdrawn
from lesion_core.refs import ReportRef
from lesion_core.serving.wording import check_wording
from lesion_core.stores.folders import publish, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder
from tests.core.evaluation.conftest import Evaluated
from tests.core.evaluation.worlds import publish_report, right

HISTORY = (
    ChangeEntry(
        at="2026-02-01T09:00:00+00:00", who="Dr | Grey", what="approved", why="<b>More</b>", is_approved=True
    ),
)


@pytest.fixture
def store(evaluated: Evaluated, tmp_path: Path) -> LocalStore:
    shutil.copytree(evaluated.place / "store", tmp_path / "store")
    return LocalStore(tmp_path / "store")


def test_decisions_are_added_where_it_is_shown(evaluated: Evaluated) -> None:
    stored = read_file(evaluated.store, evaluated.report, "card.md").decode()
    shown = current_card(evaluated.store, evaluated.report, HISTORY)
    assert shown.startswith(stored)
    added = "| 2026-02-01 09:00 | Dr \\| Grey | approved | &lt;b&gt;More&lt;/b&gt; |"
    assert added in shown
    assert added not in stored
    assert check_wording(shown) == ()
    assert current_card(evaluated.store, evaluated.report, ()).endswith(f"\n{NO_DECISION}\n")
    assert current_card(evaluated.store, evaluated.report) == stored


def test_the_other_forms_are_made_again_with_them(evaluated: Evaluated, store: LocalStore) -> None:
    first = evaluated.dataset.split("train")["isic_id"][0]
    note_withdrawn(store, [first], archive="http://archive", last_seen="small/000000000000")
    for form, name in (("html", "Dr | Grey"), ("json", "Dr | Grey"), ("chai", "Dr | Grey")):
        assert name in current_card(store, evaluated.report, HISTORY, form=form)  # type: ignore[arg-type]
    card = ModelCard.model_validate_json(current_card(store, evaluated.report, HISTORY, form="json"))
    assert card.history == HISTORY
    assert card.withdrawal is not None
    assert (card.withdrawal.n_made_from, card.withdrawal.n_tested_on) == (1, 0)
    assert card.withdrawal.images == {"For training": (first,)}
    assert first in current_card(store, evaluated.report, form="html")
    assert read_card(store, evaluated.report).history is None


def test_a_report_without_the_form_says_so(evaluated: Evaluated, store: LocalStore, tmp_path: Path) -> None:
    older = publish_report(store, evaluated.model, evaluated.dataset, tmp_path, right, seed=99)
    with pytest.raises(ArtifactNotFound, match=r"card\.json"):
        current_card(store, older, form="html")


def test_a_card_of_another_version_is_refused(evaluated: Evaluated, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text('{"form": 2}')
    summary = evaluated.report.model_dump(mode="json", exclude={"id", "key", "sha256"})
    key = "reports/other-card/0123456789ab"
    store = LocalStore(tmp_path / "store")
    published = publish(store, key, tmp_path, step="evaluate", step_version=1, inputs={}, summary=summary)
    with pytest.raises(ArtifactCorrupt, match="evaluate the model again"):
        read_card(store, ref_from_folder(ReportRef, key, *published))
