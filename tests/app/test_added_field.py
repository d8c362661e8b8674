"""One more entry in the table of fields, and nothing else: every step and the page follow."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import simple_images, store_snapshot
from tests.model_folders import write_model_folder

PROJECT = Path(__file__).resolve().parents[2]
TYPES = ["I", "II", "III", "IV", "V", "VI"]
KNOWN = {"age_years": 61, "sex": "male", "site": "head/neck", "skin_type": "III"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of the steps in a process of its own, after a dataset and a model were made without the field."""
    folder = tmp_path_factory.mktemp("added")
    store = LocalStore(folder / "store")
    snapshot = store_snapshot(store, simple_images(range(24)), folder / "snapshot", name="before")
    prepare(snapshot, PrepareOptions(name="before", size_px=32), store, workdir=folder / "work")
    write_model_folder(folder / "model")
    done = subprocess.run(
        [sys.executable, "-m", "tests.app.added_field", str(folder)], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_it_is_read_from_the_archive_and_recorded(found: dict[str, Any]) -> None:
    dataset = found["dataset"]
    assert dataset["values"] == TYPES
    assert dataset["codes"] == list(range(7))
    assert list(dataset["summary"]["skin_type"]) == list(dataset["breakdown"]) == [*TYPES, "unknown"]


def test_the_network_takes_it_and_its_answers_hang_on_it(found: dict[str, Any]) -> None:
    inputs = ["age_years", "image", "sex_code", "site_code", "skin_type_code"]
    assert found["model"]["network"] == found["model"]["onnx"] == inputs
    assert found["model"]["labels"] == TYPES
    assert found["model"]["n_distinct_logits"] > 1  # of seven; a value that no batch showed counts as unknown does


def test_form_and_answer_and_record_have_it(found: dict[str, Any]) -> None:
    page = found["page"]
    assert page["answer"] == KNOWN
    assert page["form"] == {"type": "string", "enum": [*TYPES, "unknown"]}
    assert page["control"] == ["Skin type after Fitzpatrick", ["unknown", *TYPES]]
    assert page["shape"] == sorted(KNOWN)
    assert page["refused"][0] == 422
    assert page["refused"][1]["field"] == "skin_type"
    (record,) = page["audit"]
    assert (record["age_decade"], record["skin_type"]) == (60, "III")


def test_a_table_of_patients_may_have_it(found: dict[str, Any]) -> None:
    scoring = found["scoring"]
    assert scoring["values"] == {"a.jpg": "III", "b.jpg": "", "c.jpg": ""}
    assert "fitzpatrick_skin_type 'vii' is none of I, II, III" in scoring["refused"]["b.jpg"]
    assert scoring["refused"]["a.jpg"] == scoring["refused"]["c.jpg"] == ""


def test_what_was_stored_before_is_read_and_served_without_it(found: dict[str, Any]) -> None:
    before = found["before"]
    assert before["codes"] == [0]
    assert before["missing"] == 1
    assert before["is_alike"]
    assert "age 61, sex unknown, site unknown, skin type V" in before["words"]
    assert before["n_features"] == [15, 22]
    assert before["n_unknown"] == 15
