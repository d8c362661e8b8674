"""``make demo ARCHIVE=~/x``: some shells leave the tilde after ``=`` to the program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A shell with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "LESION_", "MAKE"))}
    return {**kept, "HOME": str(tmp_path)}


def _output(command: list[str], variables: dict[str, str], folder: Path = ROOT) -> str:
    outcome = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)
    assert outcome.returncode != 0
    return outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ARCHIVE=~/isic-2019", "got '{home}/isic-2019', which has no metadata.csv"),
        ("RECIPE=~/mine.yaml", "{home}/mine.yaml"),
    ],
)
def test_make_in_sh(given: str, said: str, tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in ("pyproject.toml", "uv.lock", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / ".installed").touch()
    command = tmp_path / ".venv" / "bin" / "lesion"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deployments.cli "$@"\n')
    command.chmod(0o755)
    output = _output(["sh", "-c", f"make demo {given}"], {**variables, "PYTHONPATH": str(ROOT)}, tmp_path)
    assert said.format(home=tmp_path) in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "~/images"), "{home}/images"),
        (("demo", "--home=~/stack", "--archive=~/none"), "got '{home}/none'"),
        (("mirror", "~/folder", "--port", "0"), "{home}/folder"),
        (("weights", "~/w.h5"), "got '{home}/w.h5'"),
        (("up", "--home=~nobody-of-this-name/x"), "~nobody-of-this-name/x"),
    ],
)
def test_the_command_line(arguments: tuple[str, ...], said: str, tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "store").mkdir()
    output = _output(
        [sys.executable, "-m", "deployments.cli", *arguments],
        {**variables, "LESION_STORE": "~/store", "COLUMNS": "500", "TERM": "dumb", "NO_COLOR": "1"},
    )
    assert said.format(home=tmp_path) in output
    assert "Traceback" not in output
    assert not list(ROOT.glob("~*"))
