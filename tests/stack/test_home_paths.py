"""``make demo ARCHIVE=~/x``: some shells leave the tilde after ``=`` to the program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from tests.conftest import ROOT


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A shell with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "LESION_", "MAKE"))}
    return {**kept, "HOME": str(tmp_path)}


def test_make_in_sh(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in ("pyproject.toml", "uv.lock", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / ".installed").touch()
    command = tmp_path / ".venv" / "bin" / "lesion"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deployments.cli "$@"\n')
    command.chmod(0o755)
    outcome = subprocess.run(
        ["sh", "-c", "make demo ARCHIVE=~/isic-2019"],
        cwd=tmp_path,
        env={**variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert outcome.returncode != 0
    assert f"got '{tmp_path}/isic-2019', which has no metadata.csv" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "~/images"), "{home}/images"),
        (("demo", "--home=~/stack", "--archive=~/none"), "got '{home}/none'"),
        (("demo", "--home=~/stack", "--recipe=~/mine.yaml"), "{home}/mine.yaml"),
        (("mirror", "~/folder", "--port", "0"), "{home}/folder"),
        (("weights", "~/w.h5"), "got '{home}/w.h5'"),
        (("up", "--home=~nobody-of-this-name/x"), "~nobody-of-this-name/x"),
    ],
)
def test_the_command_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    for name, value in {"HOME": str(tmp_path), "LESION_STORE": "~/store", "TERMINAL_WIDTH": "500"}.items():
        monkeypatch.setenv(name, value)
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code != 0
    assert said.format(home=tmp_path) in f"{outcome.exception} {outcome.output}"
    assert not list(Path.cwd().glob("~*"))
