import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lesion_core.dataset.summary import describe
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.card import SYNTHETIC_LINE, WITHDRAWN_TITLE, current_card, write_card
from lesion_core.evaluation.rendering.tables import tables_of
from lesion_core.evaluation.report import ANALYSES_NAME, read_metrics
from lesion_core.isic.withdrawals import note_withdrawn
from lesion_core.keys import index_key
from lesion_core.lineage.exposure import find_exposure, leave_image_list
from lesion_core.refs import ModelRef
from lesion_core.serving.model_folder import read_model_folder
from lesion_core.serving.wording import check_wording
from lesion_core.stores.folders import materialise, publish, read_file
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import JsonDict
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


@pytest.mark.parametrize(
    ("imbalance", "words"),
    [
        ({}, "They are as if all eight classes were equally common (a flat prior)."),
        ({"loss": "focal"}, "equally common (a flat prior) (roughly: its focal loss shifts them further)."),
    ],
)
def test_it_says_how_the_network_is_made_and_which_prior_its_answers_have(
    evaluated: Evaluated, tmp_path: Path, imbalance: JsonDict, words: str
) -> None:
    folder = read_model_folder(materialise(evaluated.store, evaluated.model, tmp_path), model_id=evaluated.model.id)
    plain = {**folder.recipe, "imbalance": imbalance, "fusion": "film"}
    metrics = read_metrics(evaluated.store, evaluated.report)

    def opening(class_prior: np.ndarray = folder.class_prior, **changes: object) -> str:
        changed = replace(folder, recipe={**plain, **changes}, class_prior=class_prior)
        text = write_card(metrics, evaluated.model, changed, describe(evaluated.dataset))
        return text.partition("\n## ")[0]

    assert words in opening()
    shares = np.array([0.3, *[0.1] * 7])
    assert "as if the classes had these shares: MEL 30.0 %, NV 10.0 %" in opening(shares)
    assert "fusion `film`; probabilities" in opening()
    assert "fusion `film`, averaged over 2 networks and 8 views; probabilities" in opening(
        ensemble_size=2, test_time_augmentation=8
    )
    assert "age, sex and site go in" in opening()
    assert "pixels) alone goes in; " in opening(fusion="none")


def test_what_a_source_or_a_recipe_says_of_itself_is_text(evaluated: Evaluated, tmp_path: Path) -> None:
    folder = read_model_folder(materialise(evaluated.store, evaluated.model, tmp_path), model_id=evaluated.model.id)
    hostile = "<img src=x onerror=alert(1)> [click](javascript:x)\n\n## Approved\n\n| `a` | *b* |"
    provenance = folder.provenance.model_copy(update={"attributions": (hostile,), "teacher": f"`{hostile}`"})
    changed = replace(folder, provenance=provenance, recipe={**folder.recipe, "fusion": hostile})
    card = write_card(
        read_metrics(evaluated.store, evaluated.report), evaluated.model, changed, describe(evaluated.dataset)
    )
    assert "\n## Approved" not in card
    licence = card.partition("## Licence and attribution")[2].partition("\n## ")[0]
    assert "&lt;img src=x onerror=alert(1)&gt; \\[click\\](javascript:x) ## Approved \\| \\`a\\`" in licence
    without_code = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", card)
    assert "<img" not in without_code
    assert "[click](" not in without_code


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
        row[name]
        for row in metrics.class_rows()
        for name in ("sensitivity", "95 % interval", "specificity", "AUC", "PR AUC")
    }
    for row in metrics.predictive_rows():
        assert f"| {row['malignant by']} | {row['prevalence']} | {row['PPV']} | {row['NPV']} |" in card
        known |= {row["PPV"], row["NPV"]}
    known |= {f"{metrics.chance:.3f}", f"{metrics.probabilities.temperature:.3f}"}
    stored = Analyses.model_validate_json(read_file(evaluated.store, evaluated.report, ANALYSES_NAME))
    known |= {text for one in tables_of(stored) for text in (one.note, *(cell for row in one.rows for cell in row))}
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


@pytest.fixture
def store(evaluated: Evaluated, tmp_path: Path) -> LocalStore:
    """A copy of the store, to note withdrawals in."""
    shutil.copytree(evaluated.place / "store", tmp_path / "store")
    return LocalStore(tmp_path / "store")


def withdraw(store: LocalStore, *isic_ids: str) -> None:
    note_withdrawn(store, isic_ids, archive="http://archive", last_seen="small/000000000000")


def test_a_card_shown_later_names_what_was_withdrawn_since(evaluated: Evaluated, store: LocalStore) -> None:
    stored = read_file(store, evaluated.report, "card.md").decode()
    first = {name: evaluated.dataset.split(name)["isic_id"][0] for name in ("train", "calibration", "test")}
    withdraw(store, "ISIC_9999999")  # in nothing that this model saw
    assert current_card(store, evaluated.report) == stored
    withdraw(store, *first.values())
    card = current_card(store, evaluated.report)
    assert card.startswith(stored)
    assert f"\n## {WITHDRAWN_TITLE}\n" in card
    assert f"- For training (1): {first['train']}\n" in card
    assert f"- For calibration (1): {first['calibration']}\n" in card
    assert f"- For this report's measurement (1): {first['test']}\n" in card
    assert "withdrawn 2 images that this model was made from, and 1 that it was measured on" in card
    assert check_wording(card) == ()
    assert read_file(store, evaluated.report, "card.md").decode() == stored


def test_a_fine_tuned_model_answers_for_what_its_base_saw(
    evaluated: Evaluated, store: LocalStore, tmp_path: Path
) -> None:
    other = evaluated.model.dataset.model_copy(
        update={"id": "gone/0123456789ab", "key": "datasets/gone/0123456789ab"}
    )
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "model.keras").write_bytes(b"tuned")
    key, summary = "models/tuned/0123456789ab", {"recipe": "tuned", "dataset": other.model_dump(mode="json")}
    inputs = {"start_from": evaluated.model.id}
    published = publish(
        store,
        key,
        tmp_path / "tuned",
        step="train",
        step_version=1,
        inputs=inputs,
        summary={**summary, "synthetic": False},
    )
    model = ref_from_folder(ModelRef, key, *published)
    withdrawn = evaluated.dataset.split("train")["isic_id"][0]
    withdraw(store, withdrawn)
    exposure = find_exposure(store, model)
    assert exposure.images == {"train": (withdrawn,)}
    assert exposure.unknown == ("gone/0123456789ab",)
    assert "saw 1 of the images" in exposure.in_words()
    assert "gone/0123456789ab is not known" in exposure.in_words()


def test_what_a_removed_dataset_had_is_still_known(evaluated: Evaluated, store: LocalStore) -> None:
    withdrawn = evaluated.dataset.split("validation")["isic_id"][0]
    withdraw(store, withdrawn)
    leave_image_list(store, evaluated.dataset.ref.key)
    store.remove(index_key(evaluated.dataset.ref.key))
    assert find_exposure(store, evaluated.model).images == {"validation": (withdrawn,)}
    assert f"- For choosing epochs (1): {withdrawn}\n" in current_card(store, evaluated.report)
