"""One real local stack for all flow tests: Prefect server, worker, deployments, mirror, page."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from deployments.demo import ask_page
from deployments.stack import local
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import approved_model
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from lesion_core.stores.protocol import Store
from lesion_core.synthetic.archive import write_archive
from tests.conftest import ROOT
from tests.logs import LogWatch
from tests.servers import minio, minio_store, postgres

__all__ = ["minio", "minio_store", "postgres"]

N_IMAGES = 240
# What scheduled runs ask for; as the README's script, so that they find its outputs.
SCHEDULED = ("--source", '{"limit": 200, "tolerance": 0.02}', "--recipe", "demo-synthetic")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every flow test fifteen minutes: whichever comes first waits for the stack and for a whole pipeline."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(900))


@dataclass(frozen=True)
class Running:
    """A stack that is up, and how to reach its parts."""

    stack: local.Stack
    addresses: local.Addresses
    logs: LogWatch

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


@pytest.fixture(scope="package")  # ends with these tests: a server that idles takes time from the others
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    for name in [name for name in os.environ if name.startswith("LESION_") and not name.startswith("LESION_TEST_")]:
        del os.environ[name]
    home = tmp_path_factory.mktemp("stack")
    archive = home / "archive"
    write_archive(archive, n_images=N_IMAGES)
    addresses = local.Addresses(*(local.free_port(0) for _ in range(3)))  # another run may hold the usual ports
    logs = LogWatch(home / "logs")
    with local.running_stack(home, addresses, archive, addresses.mirror, SCHEDULED) as stack:
        yield Running(stack, addresses, logs)
    assert logs.news() == {}, "written while the stack was stopped"


@pytest.fixture(autouse=True)
def quiet_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in whose time a part of the stack wrote a traceback or an error that the test does not expect."""
    yield
    if "running" in request.fixturenames:
        logs = request.getfixturevalue("running").logs
        logs.expected += [pattern for marker in request.node.iter_markers("writes_errors") for pattern in marker.args]
        assert logs.news() == {}


@pytest.fixture(scope="package")
def real_image(running: Running, approved: ModelRef) -> bytes:
    """One image of the mirrored archive that the model answers, as a user would upload it: a few are refused."""
    images = (path.read_bytes() for path in sorted((running.stack.home / "archive").glob("*.jpg")))
    return next(image for image in images if ask_page(running.addresses.page, image)["classes"])


@pytest.fixture
def other_recipe(tmp_path: Path) -> Path:
    """Another small network for the demo's dataset, and a gate that only asks to be above chance.

    The demo's own, with its pretrained backbone, is trained once: for ``approved``.
    """
    recipe = yaml.safe_load((ROOT / "deployments/recipes/demo-synthetic.yaml").read_text())
    content = {
        **recipe,
        "name": "other",
        "backbone": "tiny",
        "weights": "none",
        "optimisation": {"head_epochs": 0, "epochs": 8, "batch_size": 8, "learning_rate": 0.003},
        "gate": {"max_balanced_accuracy_drop": 1.0, "max_malignant_sensitivity_drop": 1.0},
    }
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def readme_script() -> str:
    """Return the README's Python script, word for word."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    scripts = [block for block in blocks if "__main__" in block]
    assert len(scripts) == 1
    return str(scripts[0])


@pytest.fixture(scope="package")
def approved(running: Running, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """The model that the README's script brought to approval."""
    script = tmp_path_factory.mktemp("readme") / "adhoc.py"
    script.write_text(readme_script(), encoding="utf-8")
    outcome = running.python(str(script), timeout=800, PYTHONPATH=str(ROOT))
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    model = approved_model(running.store)
    assert model.id in outcome.stdout
    return model
