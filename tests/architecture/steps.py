"""The code behind each content-addressed step, as a digest: syntax trees without docstrings, and templates.

A step's output is found again by its inputs and its version, so code that changes what a step produces must
raise the version. What counts is every module that the step imports, directly or not, but for ``NEUTRAL``. Run
``python -m tests.architecture.steps`` to record the present code: it refuses where the digest changed under the same
version, unless ``--harmless REASON`` says why old outputs stay right.
"""

import argparse
import ast
import hashlib
import importlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "lesion_core"
RECORD = Path(__file__).with_name("steps.json")

# Decides no output: where bytes lie and how they get there, what is said meanwhile, and how it is said.
NEUTRAL = (
    *("stores", "certificates.py", "cores.py", "errors.py", "jobs.py", "paths.py", "progress.py", "proxies.py"),
    *("settings.py", "updates.py"),
)
# What an archive said is in the digest of the snapshot, which is in the key of everything that is made from it.
_ARCHIVE = ("isic", "archive_fields.py")


@dataclass(frozen=True)
class Step:
    """Where a step's code begins.

    Attributes:
        version_in: Module that holds ``STEP_VERSION``.
        starts: Modules that make the output.
        templates: Files in ``lesion_core/templates`` that it is written with.
        upstream: Files and folders whose part is in the key already.
    """

    version_in: str
    starts: tuple[str, ...]
    templates: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()


STEPS = {
    "ingest": Step(
        "lesion_core.isic.version",
        tuple(f"lesion_core.isic.ingest.{path.stem}" for path in sorted((CORE / "isic/ingest").glob("[a-z]*.py"))),
    ),
    "prepare": Step("lesion_core.dataset.prepare", ("lesion_core.dataset.prepare",)),
    "data-report": Step(
        "lesion_core.dataset_report.spec",
        ("lesion_core.dataset_report.job",),
        ("dataset_report.html.j2", "dataset_report.md.j2"),
        upstream=_ARCHIVE,
    ),
    "train": Step(  # a search decides only which trainings there are
        "lesion_core.training.version", ("lesion_core.training.job", "lesion_core.search.trial"), upstream=_ARCHIVE
    ),
    "study": Step("lesion_core.search.study_output", ("lesion_core.search.study_output",), upstream=_ARCHIVE),
    "compare": Step(
        "lesion_core.comparison.spec",
        ("lesion_core.comparison.job",),
        ("comparison.md.j2",),
        upstream=_ARCHIVE,
    ),
    "evaluate": Step(
        "lesion_core.evaluation.version",
        ("lesion_core.evaluation.job",),
        ("model_card.html.j2", "model_card.md.j2", "model_report.html.j2"),
        upstream=_ARCHIVE,
    ),
}


@cache
def modules_behind(step: str) -> list[str]:
    """Return the files of ``lesion_core`` that decide a step's output, relative to it, sorted."""
    found: set[Path] = set()
    waiting = [path for name in STEPS[step].starts if (path := _file_of(name))]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [other for name in _imported(path) if (other := _file_of(name))]
    left_out = (*NEUTRAL, *STEPS[step].upstream)
    names = sorted(path.relative_to(CORE).as_posix() for path in found)
    return [name for name in names if not any(name == part or name.startswith(f"{part}/") for part in left_out)]


@cache
def _imported(path: Path) -> tuple[str, ...]:
    """Return every module that a file imports, inside functions too, and every name, which may be a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _file_of(name: str) -> Path | None:
    place = ROOT.joinpath(*name.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py") if name.startswith("lesion_core") else ()
    return next((path for path in candidates if path.is_file()), None)


def _bare(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def code_digest(step: str) -> str:
    """Return the sha256 of a step's code; comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    for name in modules_behind(step):
        digest.update(name.encode())
        digest.update(_code(CORE / name))
    for name in STEPS[step].templates:
        digest.update(name.encode())
        digest.update((CORE / "templates" / name).read_bytes())
    return digest.hexdigest()


@cache
def _code(path: Path) -> bytes:
    return ast.dump(_bare(ast.parse(path.read_text(encoding="utf-8")))).encode()


def version(step: str) -> int:
    """Return the step's version constant."""
    return int(importlib.import_module(STEPS[step].version_in).STEP_VERSION)


def record(harmless: str | None) -> None:
    """Write the present versions and digests; refuse a silent change."""
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for step in STEPS:
        entry = {"version": version(step), "code": code_digest(step)}
        before = known.get(step)
        changed = before and before["code"] != entry["code"] and before["version"] == entry["version"]
        if changed and not harmless:
            raise SystemExit(
                f"{step}: the code changed under one version; raise STEP_VERSION in {STEPS[step].version_in}, or "
                f"say --harmless REASON if older outputs stay right"
            )
        reasons = (before or {}).get("harmless", []) if before and before["version"] == entry["version"] else []
        known[step] = {**entry, "harmless": [*reasons, harmless] if changed and harmless else reasons}
    RECORD.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--harmless", help="why outputs made by the code before stay right")
    record(parser.parse_args().harmless)
