"""One real local stack for all flow tests: Prefect server, worker, deployments, mirror, page."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments import local
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from lesion_core.stores.protocol import Store
from lesion_core.synthetic.archive import write_archive

N_IMAGES = 240


@dataclass(frozen=True)
class Running:
    """A stack that is up, and how to reach its parts."""

    stack: local.Stack
    addresses: local.Addresses

    @property
    def settings(self) -> LesionSettings:
        return LesionSettings(
            store=self.stack.variables["LESION_STORE"], work=Path(self.stack.variables["LESION_WORK"])
        )

    @property
    def store(self) -> Store:
        return open_store(self.settings)

    def python(self, *arguments: str, timeout: float = 280, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run Python as a user at a shell would, with the stack's variables set."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=local.PROJECT,
            env={**self.stack.variables, **extra},
            capture_output=True,
            text=True,
            timeout=timeout,
        )


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    for name in [name for name in os.environ if name.startswith("LESION_") and not name.startswith("LESION_TEST_")]:
        del os.environ[name]
    home = tmp_path_factory.mktemp("stack")
    archive = home / "archive"
    write_archive(archive, n_images=N_IMAGES)
    addresses = local.Addresses.choose()
    with local.running_stack(home, addresses, archive, addresses.mirror) as stack:
        yield Running(stack, addresses)
