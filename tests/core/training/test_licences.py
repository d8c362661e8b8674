"""The licence line: from one image's row to what stands on the card and on the page."""

import json
from pathlib import Path

import pandas as pd
import pytest

from lesion_core.dataset.manifest import MANIFEST_NAME
from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset.records import OpenDataset, open_dataset
from lesion_core.dataset.summary import describe
from lesion_core.evaluation.card import write_card
from lesion_core.evaluation.report import read_metrics
from lesion_core.recipes.sections import GatePolicy
from lesion_core.refs import ReportRef
from lesion_core.registry.gate import decide
from lesion_core.serving.model_folder import Provenance, read_model_folder
from lesion_core.serving.wording import Approval, disclaimer
from lesion_core.stores.folders import materialise
from lesion_core.stores.local import LocalStore
from lesion_core.training.output import Making, describe_provenance
from lesion_core.types import JsonDict
from tests.core.dataset.snapshots import draw, encode, image_row, simple_images, store_snapshot
from tests.core.evaluation.worlds import publish_model, publish_report, right
from tests.model_folders import SIZE_PX, write_model_folder

RESTRICTED, FREE = "Clinic of the one image", "Everybody else"
APPROVAL = Approval(model_id="x/1", approver="Dr Grey", at="2026-03-04T05:06:07+00:00", reason="")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("licences") / "store")


def _dataset(store: LocalStore, place: Path, *, name: str, restricted: int | None) -> OpenDataset:
    """Prepare sixty images under CC-0, of which one, if any, is under CC-BY-NC."""
    images = simple_images((number for number in range(60) if number != restricted), attribution=FREE)
    if restricted is not None:
        data = encode(draw(restricted))
        row = image_row(restricted, data, licence="CC-BY-NC", attribution=RESTRICTED)
        images.append((row, data))
    snapshot = store_snapshot(store, images, place / f"snapshot-{name}", name=name)
    assert snapshot.licence == ("CC-0" if restricted is None else "CC-BY-NC")
    ref = prepare(snapshot, PrepareOptions(name=name, size_px=SIZE_PX), store, workdir=place / "work")
    return open_dataset(store, ref, place / "cache")


@pytest.fixture(scope="module")
def mixed(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> OpenDataset:
    """A dataset whose one restricted image lies in the train split, as the seed has it."""
    return _dataset(store, tmp_path_factory.mktemp("mixed"), name="mixed", restricted=0)


@pytest.fixture(scope="module")
def free(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> OpenDataset:
    return _dataset(store, tmp_path_factory.mktemp("free"), name="free", restricted=None)


def _report(store: LocalStore, dataset: OpenDataset, place: Path, stated: JsonDict, seed: int) -> ReportRef:
    """Publish a model that states this provenance, and a report on it."""
    claims = {name: stated[name] for name in ("licence", "attributions")}
    model = publish_model(store, dataset.ref, place, seed=seed, **claims)
    return publish_report(store, model, dataset, place, right)


def test_one_restricted_image_restricts_the_dataset_and_keeps_its_credit(mixed: OpenDataset) -> None:
    manifest = pd.read_parquet(mixed.folder / MANIFEST_NAME).set_index("isic_id")
    assert manifest["licence"].value_counts().to_dict() == {"CC-0": 59, "CC-BY-NC": 1}
    assert manifest.loc["ISIC_0000000", "attribution"] == RESTRICTED
    assert mixed.ref.licence == "CC-BY-NC"
    assert describe(mixed).licences == {"CC-0": 59, "CC-BY-NC": 1}


def test_a_model_inherits_it_and_card_and_page_say_so(store: LocalStore, mixed: OpenDataset, tmp_path: Path) -> None:
    stated = describe_provenance(mixed, Making())
    assert stated["licence"] == "CC-BY-NC"
    assert stated["attributions"] == sorted([RESTRICTED, FREE])
    report = _report(store, mixed, tmp_path, stated, 1)
    folder = read_model_folder(materialise(store, report.model, tmp_path / "cache"), model_id=report.model.id)
    card = write_card(read_metrics(store, report), report.model, folder, describe(mixed))
    section = card.partition("## Licence and attribution\n")[2].partition("\n## ")[0]
    page = " ".join(
        statement.text for statement in disclaimer(folder.provenance, None, APPROVAL, class_prior=folder.class_prior)
    )
    for text in (section, page):
        assert "CC-BY-NC" in text
        assert RESTRICTED in text
        assert FREE in text
        assert "CC-0" not in text


def test_an_image_outside_every_used_split_restricts_the_model_all_the_same(mixed: OpenDataset) -> None:
    """The licence is the whole dataset's: which image falls into which split must not decide what a model may do."""
    rows = mixed.rows.assign(split=mixed.rows["split"].mask(mixed.rows["isic_id"] == "ISIC_0000000", "test"))
    stated = describe_provenance(OpenDataset(mixed.ref, mixed.folder, rows), Making())
    assert stated["licence"] == "CC-BY-NC"
    assert stated["attributions"] == [FREE]


@pytest.mark.parametrize("split", ["validation", "calibration"])
def test_images_that_a_model_was_chosen_or_calibrated_on_are_credited(mixed: OpenDataset, split: str) -> None:
    rows = mixed.rows.assign(split=mixed.rows["split"].mask(mixed.rows["isic_id"] == "ISIC_0000000", split))
    assert RESTRICTED in describe_provenance(OpenDataset(mixed.ref, mixed.folder, rows), Making())["attributions"]


def test_a_model_inherits_from_all_that_it_descends_from(free: OpenDataset, tmp_path: Path) -> None:
    """Restricted images → a model → fine-tuned on free ones → fine-tuned again: still restricted."""
    folder = write_model_folder(tmp_path / "first", synthetic=False)  # by "A hospital", under CC-BY-NC
    for name in ("second", "third"):
        stated = describe_provenance(free, Making(read_model_folder(folder, model_id=f"recipe/{name}")))
        assert stated["licence"] == "CC-BY-NC"
        assert stated["attributions"] == sorted(["A hospital", FREE])
        folder = write_model_folder(tmp_path / name, synthetic=False)
        (folder / "provenance.json").write_text(json.dumps(stated))
    assert Provenance.model_validate_json((folder / "provenance.json").read_text()).licence == "CC-BY-NC"


def test_the_gate_refuses_a_model_that_claims_more_than_its_images_allow(
    store: LocalStore, mixed: OpenDataset, tmp_path: Path
) -> None:
    claimed = {**describe_provenance(mixed, Making()), "licence": "CC-0"}
    decision = decide(_report(store, mixed, tmp_path, claimed, 2), GatePolicy(), store, against=None)
    (check,) = (check for check in decision.checks if check.name == "licence and attribution")
    assert not check.passed
    assert not decision.passed
    assert "wider than its images'" in check.detail
