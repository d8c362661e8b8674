"""The page's process: what it loads, and how it ends where it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

from lesion_core.labels import Diagnosis
from lesion_core.registry.channels import move_channel
from lesion_core.stores.local import LocalStore
from tests.app.conftest import PROJECT, now
from tests.model_folders import publish_model

_SCRIPT = """
import sys
from starlette.testclient import TestClient
from deployments.app.server import create_app
from lesion_core.settings import LesionSettings
with TestClient(create_app(LesionSettings())) as client:
    answer = client.post("/v1/predict", files={"image": open(sys.argv[1], "rb")})
assert answer.status_code == 200, answer.text
heavy = {"tensorflow", "keras", "prefect", "matplotlib", "torch"} & set(sys.modules)
assert not heavy, heavy
"""


def _run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LESION_")}
    paths = {"LESION_STORE": str(folder / "store"), "LESION_WORK": str(folder / "work"), "LESION_PAGE_PORT": "0"}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**environment, **paths, **variables},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_an_answer_needs_no_training_library(tmp_path: Path, lesion_jpeg: bytes) -> None:
    store = LocalStore(tmp_path / "store")
    model = publish_model(store, tmp_path / "scratch", favours=Diagnosis.NV)
    move_channel(store, "approved", model, action="approve", approver="Dr Grey", reason="ok", clock=now)
    (tmp_path / "lesion.jpg").write_bytes(lesion_jpeg)
    done = _run(tmp_path, "-c", _SCRIPT, str(tmp_path / "lesion.jpg"))
    assert done.returncode == 0, done.stderr


def test_a_setting_that_cannot_be_meant_ends_in_one_line(tmp_path: Path) -> None:
    done = _run(tmp_path, "-m", "deployments.app", LESION_PAGE_USERS="doctor")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "ConfigError: expected LESION_PAGE_USERS as name:password pairs, separated by commas; entry 1 has no name "
        "or no password"
    ]
