"""The page as it runs: its own process, a store in a folder, real Chromium."""

import contextlib
import datetime
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from deployments.stack.addresses import answers
from deployments.stack.waiting import wait_for
from lesion_core.labels import Diagnosis
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import clear_channel, move_channel
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from lesion_core.stores.open import open_store
from tests.logs import complaints
from tests.model_folders import publish_model

PROJECT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.5


def now() -> datetime.datetime:
    """The time of every approval in these tests."""
    return datetime.datetime(2026, 3, 4, 5, 6, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Site:
    """One running page and its store."""

    url: str
    store: LocalStore
    folder: Path
    process: "subprocess.Popen[bytes]"

    def publish(self, favours: Diagnosis, **options: Any) -> ModelRef:
        return publish_model(self.store, self.folder / "scratch", favours=favours, **options)

    def approve(self, favours: Diagnosis, **options: Any) -> ModelRef:
        model = self.publish(favours, **options)
        move_channel(
            self.store,
            "approved",
            model,
            action="approve",
            approver="Dr Grey",
            reason="tested",
            clock=now,
        )
        return model

    def withdraw(self) -> None:
        clear_channel(self.store, "approved", approver="Dr Grey", reason="withdrawn", clock=now)

    def uploads(self) -> list[Path]:
        """Files that the process holds in its temporary folder, empty ones included."""
        return [path for path in (self.folder / "tmp").rglob("*") if path.is_file()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_site(folder: Path, *, expected_errors: Sequence[str] = (), **variables: str) -> Iterator[Site]:
    """Run ``python -m deployments.app`` on a store below ``folder``.

    Args:
        folder: Where store, scratch and log lie.
        expected_errors: Patterns of what the page may write into its log as an error; anything else fails the test.
        variables: Of its environment.
    """
    port = free_port()
    for name in ("store", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LESION_")},
        "LESION_STORE": str(folder / "store"),
        "LESION_WORK": str(folder / "work"),
        "LESION_PAGE_PORT": str(port),
        "LESION_PAGE_POLL_SECONDS": str(POLL_SECONDS),
        "LESION_THREADS": "1",
        "TMPDIR": str(folder / "tmp"),
        **variables,
    }
    with (folder / "page.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.app"], cwd=PROJECT, env=environment, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, folder / "page.log")
        yield Site(url, LocalStore(folder / "store"), folder, process)
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert complaints((folder / "page.log").read_text(errors="replace"), expected_errors) == []


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    if not wait_for(lambda: answers(f"{url}/healthz"), seconds=180, is_hopeless=lambda: process.poll() is not None):
        pytest.fail(f"the page did not come up:\n{log.read_text()}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A page without login; what is approved is left as the test before left it, once a damaged model."""
    damaged = r"the approved model \S+ cannot be loaded"
    with running_site(tmp_path_factory.mktemp("site"), expected_errors=(damaged,)) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab with its own cookies."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)  # 5 s are not enough where other tests have the cores
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def lesion_jpeg() -> bytes:
    """An image that raises no quality note: a dark, textured spot on something skin-coloured."""
    random = np.random.default_rng(5)
    rows, columns = np.mgrid[0:240, 0:320]
    inside = np.hypot(rows - 125, (columns - 150) * 0.8) < 62 + 8 * np.sin(np.arctan2(rows - 125, columns - 150) * 5)
    pixels = np.where(inside[..., None], (96, 58, 44), (214, 168, 148)) + random.normal(0, 9, (240, 320, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def scoring_settings(tmp_path_factory: pytest.TempPathFactory) -> LesionSettings:
    """A store whose approved model is hand-made."""
    folder = tmp_path_factory.mktemp("scoring")
    settings = LesionSettings(store=str(folder / "store"), work=folder / "work")
    store = open_store(settings)
    model = publish_model(store, folder / "scratch")
    move_channel(store, "approved", model, action="approve", approver="Dr Grey", reason="tested", clock=now)
    return settings


@pytest.fixture
def empty_settings(tmp_path: Path) -> LesionSettings:
    """A store without a model: whoever comes as far as loading one fails with ``ModelNotReady``."""
    return LesionSettings(store=str(tmp_path / "no store"), work=tmp_path / "no work")


@pytest.fixture
def image_folder(tmp_path: Path, lesion_jpeg: bytes) -> Path:
    """Three images and one that was cut short."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.jpg").write_bytes(lesion_jpeg)
    (folder / "cut.jpg").write_bytes(lesion_jpeg[:900])
    return folder
