"""The command line: a known problem is one sentence and exit code 1, never a traceback."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from lesion_core.evaluation.card import ModelCard
from lesion_core.evaluation.report import ExternalSubject, read_metrics
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.test_access import record_access
from lesion_core.isic.withdrawals import note_withdrawn
from lesion_core.keys import report_key
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import ReportRef
from lesion_core.registry.channels import move_channel
from lesion_core.stores.folders import publish, utc_now
from lesion_core.stores.local import LocalStore
from lesion_core.stores.references import summary_of
from lesion_core.training.pretrained import with_local_weights
from tests.conftest import ROOT
from tests.core.evaluation.worlds import make_dataset, publish_model, publish_report, right
from tests.core.registry.generations import make_generations


def lesion(*arguments: str, home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run ``lesion`` as a user would, with Prefect's files kept apart."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "LESION_"))}
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        cwd=ROOT,
        env={**kept, "PREFECT_HOME": str(home), "LESION_STORE": str(home / "store"), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (("deploy",), {}, "ConfigError: expected PREFECT_API_URL to name a Prefect server"),
        (("deploy",), {"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "at http://127.0.0.1:9/api"),
        (("demo", "--archive", "/nowhere"), {}, "which has no metadata.csv"),
        (("demo", "--recipe", "isic-quik"), {}, "isic-quick"),
        pytest.param(("mirror", "/nowhere", "--port", "0"), {}, "/nowhere", marks=pytest.mark.nightly),
        pytest.param(("card", "quick/0123456789ab"), {}, "nothing stored yet", marks=pytest.mark.nightly),
        pytest.param(("models",), {"LESION_STORE": "ftp://host/x"}, "ftp://host/x", marks=pytest.mark.nightly),
        (("predict", "/nowhere"), {}, "found none in /nowhere"),
        pytest.param(
            *(("weights", "/nowhere/b.h5"), {}, "got '/nowhere/b.h5': No such file"), marks=pytest.mark.nightly
        ),
        (("weights", "pyproject.toml"), {}, "ending in .h5, .keras or .pth, got 'pyproject.toml'"),
        (("demo", "--archive", "isic"), {"LESION_ARCHIVE_URL": "http://127.0.0.1:9/api/v2/"}, "SourceUnavailable"),
    ],
)
def test_a_known_problem_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], sentence: str
) -> None:
    (tmp_path / "store").mkdir()
    outcome = lesion(*arguments, home=tmp_path, **variables)
    assert outcome.returncode == 1, outcome.stderr
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_cleaning_says_what_goes_and_what_stays_and_deletes_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_generations(tmp_path)
    store, model = LocalStore(made.root), made.old.model
    move_channel(store, "approved", model, action="approve", approver="Dr. A", reason="first", clock=utc_now)
    note_withdrawn(store, [made.withdrawn], archive="http://archive", last_seen=made.old.snapshot.id)
    store.write("mine.txt", b"kept")
    kept_bytes = set(store.list(""))

    monkeypatch.setenv("LESION_STORE", str(made.root))

    def printed(*arguments: str) -> str:
        outcome = CliRunner().invoke(app, arguments)
        assert outcome.exit_code == 0, outcome.exception
        return outcome.stdout

    dry = printed("gc")
    assert "archive              1" in dry
    assert "withdrawn by the archive" in dry
    assert f"{made.old.dataset.key} stays and holds pixels of 1 withdrawn images ({made.withdrawn})" in dry
    assert f"model {model.id}, which channel 'approved' points at" in dry
    assert "mine.txt" in dry
    assert "A dry run: nothing was deleted" in dry
    assert set(store.list("")) == kept_bytes

    assert "Deleted 1 objects" in printed("gc", "--delete")
    assert kept_bytes - set(store.list("")) == {key for key in kept_bytes if f"archive/{made.withdrawn}/" in key}
    assert "Nothing to delete" in printed("gc", "--delete")
    warned = printed("models").splitlines()
    place = next(number for number, line in enumerate(warned) if line.startswith(model.id))
    assert "WITHDRAWN: saw 1 of the images that the archive withdrew" in warned[place + 1]
    card = printed("card", model.id)
    assert f"For training (1): {made.withdrawn}" in card
    assert "| Dr. A | approved | first |" in card
    assert ModelCard.model_validate_json(printed("card", model.id, "--form", "json")).approval is not None
    assert not any("WITHDRAWN" in line for line in printed("models").splitlines() if made.new.model.id in line)


def test_a_file_of_weights_is_put_where_a_recipe_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESION_STORE", str(tmp_path / "store"))
    file = tmp_path / "none.h5"
    file.write_bytes(b"numbers")
    named = CliRunner().invoke(app, ["weights", str(file)]).stdout.strip()
    recipe = Recipe(name="mine", weights=named)
    local = with_local_weights(recipe, LocalStore(tmp_path / "store"), tmp_path / "cache")
    assert Path(local.weights).read_bytes() == b"numbers"


def test_looks_are_listed_with_their_reason(tmp_path: Path) -> None:
    made = make_generations(tmp_path)
    store, model = LocalStore(made.root), made.new.model
    record_access(EvaluateJob(model=model, dataset=model.dataset, seed=8, reason="a typing error"), store)
    outcome = CliRunner().invoke(app, ["test-access", "small"], env={"LESION_STORE": str(made.root)})
    assert f"test-1 of {made.old.dataset.id}  {made.old.model.id}\n" in outcome.output
    assert f"test-1 of {model.dataset.id}  {model.id}  again: a typing error\n" in outcome.output
    none = CliRunner().invoke(app, ["looks", "isic"], env={"LESION_STORE": str(made.root)}).output
    assert none.startswith("No model was measured on a test split of isic yet")


def test_external_tests_are_listed_with_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "store")
    dataset = make_dataset(store, tmp_path, n_images=56)
    model = publish_model(store, dataset.ref, tmp_path)
    report = publish_report(store, model, dataset, tmp_path, right)
    monkeypatch.setenv("LESION_STORE", str(tmp_path / "store"))
    assert "No external test of" in CliRunner().invoke(app, ["external-reports", model.id]).stdout
    _as_external(store, report, "clinic")
    said = CliRunner().invoke(app, ["external-reports", model.id]).stdout
    assert said.startswith("clinic  balanced accuracy 1.000")
    assert f"{report.n_images} images, 3 left out" in said


def _as_external(store: LocalStore, report: ReportRef, name: str) -> None:
    """Publish a report's numbers once more, as those of an external test set."""
    metrics = read_metrics(store, report)
    external = ExternalSubject(name=name, labels=(), n_listed=report.n_images + 3, left_out={"no file": 3})
    subject = metrics.subject.model_copy(update={"external": external})
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "metrics.json").write_text(metrics.model_copy(update={"subject": subject}).model_dump_json())
        key = report_key(report.model.id, "e" * 12)
        summary = {**summary_of(report), "external": name}
        publish(store, key, Path(place), step="evaluate", step_version=1, inputs={}, summary=summary)
