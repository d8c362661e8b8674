"""Child processes: news, results and errors come back; a killed child is a transient error."""

import sys
from pathlib import Path

import pytest

from lesion_core import jobs
from lesion_core.errors import ArtifactNotFound, ChildKilled, LesionError, TrainingDiverged
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.settings import LesionSettings
from lesion_core.types import DatasetRef, ModelRef, PatientMetadata, Progress, ReportRef

SPEC = PatientMetadata(age_years=50)


@pytest.fixture
def settings(tmp_path: Path) -> LesionSettings:
    return LesionSettings(store=str(tmp_path / "store"), work=tmp_path / "work")


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Put a shell script in the place of the child's Python."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return install


def test_news_arrives_in_order_and_the_result_is_parsed(child, settings: LesionSettings) -> None:  # type: ignore[no-untyped-def]
    child(
        """echo '{"progress": {"stage": "epoch", "done": 1, "total": 2}}'
echo 'a library talks'
echo '{"progress": {"stage": "epoch", "done": 2, "total": 2}}'
echo '{"result": {"age_years": 61}}'"""
    )
    news: list[Progress] = []
    result = jobs.run("train", SPEC, PatientMetadata, settings=settings, on_progress=news.append)
    assert result == PatientMetadata(age_years=61)
    assert [item.done for item in news] == [1, 2]


def test_an_error_comes_back_as_itself(child, settings: LesionSettings) -> None:  # type: ignore[no-untyped-def]
    child(
        """echo '{"error": {"type": "TrainingDiverged", "message": "loss is NaN", "context": {"epoch": 3}}}'
exit 1"""
    )
    with pytest.raises(TrainingDiverged, match="loss is NaN") as caught:
        jobs.run("train", SPEC, PatientMetadata, settings=settings)
    assert caught.value.epoch == 3
    assert not caught.value.transient


def test_a_killed_child_may_be_tried_again(child, settings: LesionSettings) -> None:  # type: ignore[no-untyped-def]
    child("kill -KILL $$")
    with pytest.raises(ChildKilled, match=r"SIGKILL.*memory") as caught:
        jobs.run("train", SPEC, PatientMetadata, settings=settings)
    assert caught.value.transient


def test_a_child_that_ends_without_a_word_shows_its_last_lines(child, settings: LesionSettings) -> None:  # type: ignore[no-untyped-def]
    child("echo 'Segmentation something' >&2; exit 3")
    with pytest.raises(LesionError, match=r"exit code 3[\s\S]*Segmentation something"):
        jobs.run("train", SPEC, PatientMetadata, settings=settings)


def test_a_real_child_reports_what_is_missing(settings: LesionSettings) -> None:
    digest = "0" * 64
    dataset = DatasetRef(
        id="isic/a",
        key="datasets/isic/a",
        sha256=digest,
        n_images=1,
        n_groups=1,
        size_px=64,
        licence="CC-0",
        synthetic=True,
    )
    model = ModelRef(id="r/a", key="models/r/a", sha256=digest, recipe="r", dataset=dataset, synthetic=True)
    with pytest.raises(ArtifactNotFound, match=r"(models/r/a|datasets/isic/a)"):
        jobs.run("evaluate", EvaluateJob(model=model, dataset=dataset), ReportRef, settings=settings)
