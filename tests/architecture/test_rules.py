"""The rules of the architecture, checked."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import steps

ROOT = Path(__file__).parents[2]
LAYERS = ("lesion_core", "tasks", "flows", "deployments")
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def test_imports_go_down_and_every_library_stays_at_home() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    if not linter.exists():
        pytest.skip("import-linter is not part of this environment")
    outcome = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("step", steps.STEPS)
def test_a_change_of_a_step_raises_its_version(step: str) -> None:
    known = json.loads(steps.RECORD.read_text())[step]
    assert steps.version(step) == known["version"], f"record it: python -m tests.architecture.steps ({step})"
    assert steps.code_digest(step) == known["code"], (
        f"the code behind '{step}' changed: raise STEP_VERSION in {steps.STEPS[step].version_in}, or record that "
        f"older outputs stay right: python -m tests.architecture.steps --harmless REASON"
    )


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("labels.py", steps.STEPS),  # MALIGNANT, and the order of the classes
        ("keys.py", steps.STEPS),
        ("serving/model_folder.py", ("evaluate", "train")),
        ("serving/wording.py", ("evaluate",)),  # the card's words
        ("statistics/estimates.py", ("evaluate", "compare")),
        ("images/decoding.py", ("ingest", "prepare", "evaluate", "train")),
    ],
)
def test_what_an_output_depends_on_is_part_of_its_step(name: str, of: tuple[str, ...]) -> None:
    assert [step for step in of if name not in steps.modules_behind(step)] == []


def test_nothing_is_loaded_behind_a_step_that_its_imports_do_not_name() -> None:
    light = [step for step in steps.STEPS if step != "train"]  # which loads TensorFlow
    starts = sorted({name for step in light for name in steps.STEPS[step].starts})
    script = f"import importlib, sys; [importlib.import_module(name) for name in {starts}]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    files = {"/".join(name.split(".")[1:]) for name in loaded.stdout.split() if name.startswith("lesion_core.")}
    known = {
        name.removesuffix(".py").removesuffix("/__init__") for step in light for name in steps.modules_behind(step)
    }
    apart = {part.removesuffix(".py") for part in (*steps.NEUTRAL, "isic", "archive_fields.py")}
    packages = {name for name in files if (steps.CORE / name).is_dir()}  # loaded with what is in them
    assert {name for name in files - known - packages if name.split("/")[0] not in apart} == set()


@pytest.mark.parametrize("step", steps.STEPS)
def test_no_module_behind_a_step_is_named_by_text_only(step: str) -> None:
    files = [steps.CORE / name for name in steps.modules_behind(step)]
    assert [path for path in files if "import_module" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_short_and_named_for_what_it_holds(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def test_a_package_has_at_most_sixteen_modules() -> None:
    folders = {path.parent for path in SOURCES}
    crowded = {
        folder.relative_to(ROOT).as_posix(): n
        for folder in folders
        if (n := sum(path.stem != "__init__" for path in folder.glob("*.py"))) > 16
    }
    assert crowded == {}


@pytest.mark.parametrize("layer", ["tasks", "flows"])
def test_upper_layers_only_decorate_and_order(layer: str) -> None:
    """No class (it would pickle under a wrong name) and no try/except (errors are core's) above lesion_core."""
    for path in (ROOT / layer).glob("*.py"):
        allowed = {"policies.py": {ast.Try}}.get(path.name, set())
        found = {type(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))}
        assert not (found & {ast.ClassDef, ast.Try}) - allowed, path


def test_only_the_edges_read_the_environment() -> None:
    """Core reads the environment in settings.py alone.

    ``jobs`` and ``environment`` hand it on to child processes; ``predictor`` sets ONNX Runtime's switch of telemetry;
    the page takes Gradio's variables away.
    """
    allowed = {
        *("lesion_core/settings.py", "lesion_core/jobs.py", "lesion_core/serving/predictor.py"),
        *("deployments/stack/environment.py", "deployments/app/__main__.py"),
    }
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if name not in allowed:
            text = path.read_text(encoding="utf-8")
            assert "os.environ" not in text, name
            assert "os.getenv" not in text, name
