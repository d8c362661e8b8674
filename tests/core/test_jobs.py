"""Child processes: news, results and errors come back; a killed child is a transient error."""

import re
import sys
from pathlib import Path

import pytest

from lesion_core import jobs
from lesion_core.errors import ArtifactNotFound, ChildKilled, LesionError, TrainingDiverged
from lesion_core.evaluation.output_key import report_key_of
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.progress import Progress
from lesion_core.refs import DatasetRef, ModelRef, Ref, ReportRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.folders import publish
from lesion_core.stores.open import open_store
from lesion_core.types import PatientMetadata

SPEC = PatientMetadata(age_years=50)
KEY = "models/r/0123456789ab"
REFERENCE = Ref(id="r/0123456789ab", key=KEY, sha256="a" * 64)


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
        f"""echo '{{"progress": {{"stage": "epoch", "done": 1, "total": 2}}}}'
echo 'a library talks'
echo '{{"progress": {{"stage": "epoch", "done": 2, "total": 2}}}}'
echo '{{"result": {REFERENCE.model_dump_json()}}}'"""
    )
    news: list[Progress] = []
    result = jobs.run("train", SPEC, Ref, key=KEY, settings=settings, on_progress=news.append)
    assert result == REFERENCE
    assert [item.done for item in news] == [1, 2]


def test_an_error_comes_back_as_itself(child, settings: LesionSettings) -> None:  # type: ignore[no-untyped-def]
    child(
        """echo '{"error": {"type": "TrainingDiverged", "message": "loss is NaN", "context": {"epoch": 3}}}'
exit 1"""
    )
    with pytest.raises(TrainingDiverged, match="loss is NaN") as caught:
        jobs.run("train", SPEC, Ref, key=KEY, settings=settings)
    assert caught.value.epoch == 3
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("KILL", "SIGKILL (often: out of memory"),
        ("SEGV", "SIGSEGV (often: out of memory"),
        ("TERM", "SIGTERM. A rerun"),
    ],
)
def test_a_killed_child_may_be_tried_again(child, settings: LesionSettings, name: str, words: str) -> None:  # type: ignore[no-untyped-def]
    child(f"kill -{name} $$")
    with pytest.raises(ChildKilled, match=re.escape(words)) as caught:
        jobs.run("train", SPEC, Ref, key=KEY, settings=settings)
    assert caught.value.transient


def test_a_child_that_ends_without_a_word_shows_its_last_lines(child, settings: LesionSettings) -> None:  # type: ignore[no-untyped-def]
    child("echo 'Segmentation something' >&2; exit 3")
    with pytest.raises(LesionError, match=r"exit code 3[\s\S]*Segmentation something"):
        jobs.run("train", SPEC, Ref, key=KEY, settings=settings)


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
    job = EvaluateJob(model=model, dataset=dataset)
    with pytest.raises(ArtifactNotFound, match=r"(models/r/a|datasets/isic/a)"):
        jobs.run("evaluate", job, ReportRef, key=report_key_of(job), settings=settings)


def test_output_that_is_there_needs_no_child(child, settings: LesionSettings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    child("exit 9")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("a")
    publish(open_store(settings), KEY, tmp_path / "out", step="t", step_version=1, inputs={}, summary={})
    assert jobs.run("train", SPEC, Ref, key=KEY, settings=settings).key == KEY
