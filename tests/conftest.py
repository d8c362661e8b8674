"""What all tests share: parts that may be missing on a machine, and a clean environment."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def need(part: str, found: str | None) -> str:
    """Return where a part is, or skip; fail where ``LESION_TEST_REQUIRED`` says that it must be there."""
    if found:
        return found
    message = f"{part} is not on this machine"
    if part in os.environ.get("LESION_TEST_REQUIRED", "").split():
        pytest.fail(f"{message}, but LESION_TEST_REQUIRED names it")
    pytest.skip(message)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a real Chromium."""
    return need("chromium", os.environ.get("LESION_TEST_CHROMIUM") or shutil.which("chromium"))


@pytest.fixture(scope="session")
def isic_folder() -> Path:
    """A folder with ``archive/`` and ``challenge/`` of real ISIC images, outside the project."""
    folder = Path(os.environ.get("LESION_TEST_ISIC", ROOT.parent / "shared" / "isic"))
    return Path(need("isic", str(folder) if (folder / "archive" / "metadata.csv").is_file() else None))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the caller's shell happens to set."""
    for name in list(os.environ):
        if name.startswith(("LESION_", "AWS_")) and not name.startswith("LESION_TEST_"):
            monkeypatch.delenv(name)
