import re
from pathlib import Path

import pytest

from lesion_core.dataset.summary import describe
from lesion_core.evaluation.card import SYNTHETIC_LINE, write_card
from lesion_core.evaluation.report import read_metrics
from lesion_core.serving.model_folder import read_model_folder
from lesion_core.serving.wording import check_wording
from lesion_core.stores.folders import materialise, read_file
from tests.core.evaluation.conftest import Evaluated
from tests.core.evaluation.worlds import publish_model, publish_report, right


@pytest.fixture
def card(evaluated: Evaluated) -> str:
    return read_file(evaluated.store, evaluated.report, "card.md").decode()


def test_it_tells_what_a_reader_must_know(card: str, evaluated: Evaluated) -> None:
    for heading in (
        "Intended use",
        "Performance",
        "By class",
        "Training data",
        "Test data",
        "Limits",
        "Licence and attribution",
        "Provenance",
    ):
        assert f"\n## {heading}\n" in card
    assert card.startswith(f"# Model card: {evaluated.model.id}\n")
    assert "not a medical device" in card
    assert "A benign result does not exclude cancer" in card
    assert "Not tested on a single image of: Vascular lesion (VASC)" in card
    assert "**CC-BY-NC**" in card  # the hand-made model's licence, the more restrictive of the two
    assert "A hospital" in card
    for digest in (evaluated.model.sha256, evaluated.dataset.ref.sha256):
        assert digest in card


def test_it_says_nothing_that_a_page_may_not_say(card: str) -> None:
    assert check_wording(card) == ()


def test_every_measured_number_is_the_reports(card: str, evaluated: Evaluated) -> None:
    metrics = read_metrics(evaluated.store, evaluated.report)
    for row in metrics.headline_rows():
        assert f"| {row['measure']} | {row['value']} | {row['interval'] or '–'} |" in card
    for row in metrics.class_rows():
        assert f"| {row['class']} | {row['images']} | {row['groups']} | {row['sensitivity']} |" in card
    known = {row[name] for row in metrics.headline_rows() for name in ("value", "interval")}
    known |= {
        row[name] for row in metrics.class_rows() for name in ("sensitivity", "95 % interval", "specificity", "AUC")
    }
    known |= {f"{metrics.chance:.3f}", f"{metrics.probabilities.temperature:.3f}"}
    decimals = {number for text in known for number in re.findall(r"\d\.\d{3}", text)}
    assert set(re.findall(r"\b\d\.\d{3}\b", card)) <= decimals


def test_the_first_line_marks_what_is_synthetic(evaluated: Evaluated, tmp_path: Path) -> None:
    store, dataset = evaluated.store, evaluated.dataset
    model = publish_model(store, dataset.ref, tmp_path, seed=9, synthetic=True)
    metrics = read_metrics(store, publish_report(store, model, dataset, tmp_path, right))
    folder = read_model_folder(materialise(store, model, tmp_path / "cache"), model_id=model.id)
    card = write_card(metrics, model, folder, describe(dataset))
    assert card.splitlines()[0] == SYNTHETIC_LINE
    assert "SYNTHETIC" in SYNTHETIC_LINE
    assert "generated images" in card
