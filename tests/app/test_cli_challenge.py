"""``lesion challenge``: from a stored report to a submission, and from a submission to its score."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from deployments.cli import app
from lesion_core.dataset import prepare
from lesion_core.errors import ArtifactNotFound, ConfigError
from lesion_core.evaluation.challenge.files import NINE
from lesion_core.evaluation.report import read_predictions
from lesion_core.labels import CLASS_ORDER
from lesion_core.refs import ReportRef
from lesion_core.statistics.challenge_score import NUMBERS, challenge_score
from lesion_core.stores.local import LocalStore
from tests.core.evaluation.worlds import make_dataset, publish_model, publish_report


@dataclass(frozen=True)
class Stored:
    """A store with a report in which every image but the melanomas is answered right."""

    folder: Path
    report: ReportRef

    def said(self, *arguments: object) -> str:
        """Return what ``lesion challenge`` prints."""
        outcome = CliRunner().invoke(app, ["challenge", *map(str, arguments)], env={"LESION_STORE": str(self.folder)})
        if outcome.exception is not None:
            raise outcome.exception
        return outcome.stdout

    def write_truth(self, path: Path, n_unknown: int = 0) -> Path:
        """Write the official table of the report's images; the first ``n_unknown`` are UNK."""
        table = read_predictions(LocalStore(self.folder), self.report)
        names = ["UNK" if row < n_unknown else str(CLASS_ORDER[at]) for row, at in enumerate(table["class_index"])]
        ones = pd.DataFrame({each: [float(name == each) for name in names] for each in NINE})
        ones.insert(0, "image", table["isic_id"] + "_downsampled")
        ones.to_csv(path, index=False)
        return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    place = tmp_path_factory.mktemp("challenge")
    store = LocalStore(place / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "audit_shortcuts", functools.partial(prepare.audit_shortcuts, n_shuffles=2))
        dataset = make_dataset(store, place)
    model = publish_model(store, dataset.ref, place)
    answers = publish_report(store, model, dataset, place, lambda true: np.where(true == 0, 1, true))
    return Stored(place / "store", answers)


@pytest.mark.parametrize("kind", ["report", "model"])
def test_a_report_is_exported_and_scored(tmp_path: Path, stored: Stored, kind: str) -> None:
    out = tmp_path / "submission.csv"
    told = stored.said("export", stored.report.id if kind == "report" else stored.report.model.id, "--out", out)
    assert f"Wrote {stored.report.n_images} images of the test split of {stored.report.dataset.id}" in told
    assert "8/9 at most" in told
    assert ("SYNTHETIC" in told) == (stored.report.model.synthetic or stored.report.dataset.synthetic)
    printed = stored.said("score", out, stored.write_truth(tmp_path / "truth.csv"))
    present = [name for name in NINE if name not in ("VASC", "UNK")]
    line = next(line for line in printed.splitlines() if "eight classes, without UNK" in line)
    assert f"{1 - 1 / len(present):.3f}" in line  # all but the melanomas
    assert "VASC" in line
    assert "no image of UNK" in printed
    assert "must not be compared" in printed


def test_images_of_unk_count_in_nine_classes_alone(tmp_path: Path, stored: Stored) -> None:
    out, truth = tmp_path / "submission.csv", stored.write_truth(tmp_path / "truth.csv", n_unknown=3)
    stored.said("export", stored.report.id, "--out", out, "--like", truth)
    given, ones = pd.read_csv(out), pd.read_csv(truth)
    assert list(given["image"]) == list(ones["image"])  # under the names of the ground truth
    expected = challenge_score(ones[list(NINE)].to_numpy().argmax(axis=1), given[list(NINE)].to_numpy(), NINE)
    printed = stored.said("score", out, truth)
    line = next(line for line in printed.splitlines() if "nine classes, the challenge's" in line)
    assert f" {expected.balanced_accuracy:.3f} " in line
    assert f" {stored.report.n_images} " in line
    eight = next(line for line in printed.splitlines() if "eight classes, without UNK" in line)
    assert f" {stored.report.n_images - 3} " in eight
    assert "reaches 7/8 at most" in printed  # no VASC
    assert "1.000*" in printed  # nothing is called UNK
    flags = tmp_path / "flags.csv"
    ones[["image", "UNK"]].to_csv(flags, index=False)
    assert "8/9" not in stored.said("export", stored.report.id, "--out", out, "--like", truth, "--unknown", flags)
    assert "at most" not in stored.said("score", out, truth)


def test_tables_fit_into_eighty_columns(tmp_path: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.challenge._WIDTH", 80)
    out = tmp_path / "submission.csv"
    stored.said("export", stored.report.id, "--out", out)
    printed = stored.said("score", out, stored.write_truth(tmp_path / "truth.csv", n_unknown=3))
    assert "…" not in printed
    mean = next(line for line in printed.splitlines() if line.strip().startswith("mean"))
    assert len(mean.split()) == 1 + len(NUMBERS)


def test_what_cannot_be_exported(tmp_path: Path, stored: Stored) -> None:
    with pytest.raises(
        ArtifactNotFound, match=f"one of {stored.report.model.id}, {stored.report.id}, got 'quick/0123'"
    ):
        stored.said("export", "quick/0123", "--out", tmp_path / "s.csv")
    with pytest.raises(ArtifactNotFound, match="on the validation split"):
        stored.said("export", stored.report.model.id, "--split", "validation", "--out", tmp_path / "s.csv")
    with pytest.raises(ConfigError, match=r"ending in .csv, got"):
        stored.said("export", stored.report.id, "--out", tmp_path / "s.parquet")
    assert not list(tmp_path.iterdir())
