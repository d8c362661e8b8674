"""The command line: a known problem is one sentence and exit code 1, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


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
        (("mirror", "/nowhere", "--port", "0"), {}, "/nowhere"),
        (("models",), {"LESION_STORE": "ftp://host/x"}, "ftp://host/x"),
        (("predict", "/nowhere"), {}, "found none in /nowhere"),
        (("demo", "--archive", "isic"), {"LESION_ARCHIVE_URL": "http://127.0.0.1:9/api/v2/"}, "SourceUnavailable"),
    ],
)
def test_a_known_problem_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], sentence: str
) -> None:
    outcome = lesion(*arguments, home=tmp_path, **variables)
    assert outcome.returncode == 1, outcome.stderr
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.stderr
