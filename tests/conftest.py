"""What all tests share: parts that may be missing on a machine, and a clean environment."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests import schedule

if TYPE_CHECKING:  # lesion_core's tests run where Playwright is not installed
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# One thread to compute with in every process, set before it loads what reads this: two workers share the cores.
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")

# No example fails because the other worker has the core just then; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("shared-cores", deadline=None)
hypothesis.settings.load_profile("shared-cores")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="also run what is marked nightly")


@pytest.hookimpl(optionalhook=True)  # there is no such hook without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return schedule.grouped(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    schedule.leave_for_the_night(config, items)
    schedule.arrange(items)


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


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator["Browser"]:
    """A running Chromium that asks nobody on the internet for anything.

    Not for the whole session: while Playwright runs, the thread has a running event loop, and ``asyncio.run`` fails.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def isic_folder() -> Path:
    """A folder with ``archive/`` and ``challenge/`` of real ISIC images, outside the project."""
    folder = Path(os.environ.get("LESION_TEST_ISIC", ROOT.parent / "shared" / "isic"))
    return Path(need("isic", str(folder) if (folder / "archive" / "metadata.csv").is_file() else None))


@pytest.fixture(scope="session")
def chai_schema() -> Path:
    """The Coalition for Health AI's schema of model cards, v0.2, outside the project (its licence lies beside it)."""
    folder = Path(os.environ.get("LESION_TEST_CHAI", ROOT.parent / "shared" / "chai"))
    schema = folder / "schema-v0.2.xsd"
    return Path(need("chai", str(schema) if schema.is_file() else None))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the caller's shell happens to set."""
    for name in list(os.environ):
        if name.startswith(("LESION_", "AWS_")) and not name.startswith("LESION_TEST_"):
            monkeypatch.delenv(name)
