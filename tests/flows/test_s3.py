"""The same pipeline with its artifacts in S3."""

from pathlib import Path

import pytest

from lesion_core.registry.channels import approved_model
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from tests.conftest import ROOT
from tests.flows.conftest import Running


@pytest.mark.slow
def test_the_pipeline_runs_on_minio(
    running: Running, minio_store: dict[str, str], other_recipe: Path, tmp_path: Path
) -> None:
    """Only settings differ from the local run; nothing of the flow knows where bytes live."""
    variables = {**minio_store, "LESION_WORK": str(tmp_path), "PYTHONPATH": str(ROOT)}
    script = (
        "from flows.pipeline import pipeline_flow\n"
        "from lesion_core.isic.source import ArchiveSource\n"
        f"pipeline_flow(ArchiveSource(limit=200, tolerance=0.02), {str(other_recipe)!r})\n"
    )
    outcome = running.python("-c", script, **variables)
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    settings = LesionSettings(
        store=variables["LESION_STORE"],
        s3_endpoint=variables["LESION_S3_ENDPOINT"],
        s3_access_key=variables["LESION_S3_ACCESS_KEY"],  # type: ignore[arg-type]
        s3_secret_key=variables["LESION_S3_SECRET_KEY"],  # type: ignore[arg-type]
    )
    assert approved_model(open_store(settings)).synthetic
    assert not list(Path(running.settings.store).glob("s3:*"))
