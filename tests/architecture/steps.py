"""The code behind each content-addressed step, as a digest: syntax trees without docstrings, and templates.

A step's output is found again by its inputs and its version, so code that changes what a step produces must
raise the version. Run ``python -m tests.architecture.steps`` to record the present code: it refuses where the
digest changed under the same version, unless ``--harmless REASON`` says why old outputs stay right.
"""

import argparse
import ast
import hashlib
import importlib
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("steps.json")

# step -> (module that holds STEP_VERSION, files and folders whose code decides the output)
STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ingest": (
        "lesion_core.isic.version",
        (
            *("isic/api", "isic/listing", "isic/ingest", "images", "fields", "archive_fields.py", "labels.py"),
            *(
                f"isic/{part}.py"
                for part in ("placeholders", "snapshot", "source", "statements", "taxonomy", "version")
            ),
        ),
    ),
    "prepare": ("lesion_core.dataset.prepare", ("dataset", "images", "fields")),
    "data-report": (
        "lesion_core.dataset_report.spec",
        (
            *("dataset_report", "fields", "labels.py"),
            *(f"figures/{part}.py" for part in ("canvas", "composition", "image_grids")),
            *("dataset/breakdown.py", "dataset/proof/certificate.py", "dataset/summary.py"),
            *("markup.py", "templates/dataset_report.html.j2", "templates/dataset_report.md.j2"),
        ),
    ),
    "train": (
        "lesion_core.training.version",
        (
            *("recipes", "modeling", "training", "lineage", "images", "fields"),
            *("statistics/calibration.py", "statistics/metrics.py", "figures/architecture.py", "figures/layout.py"),
            *("search/trial.py", "search/trial_spec.py"),  # a search decides only which trainings there are
        ),
    ),
    "study": (
        "lesion_core.search.study_output",
        ("search/study_output.py", "search/study_record.py", "figures/search.py"),
    ),
    "compare": (
        "lesion_core.comparison.spec",
        (
            "comparison",
            "figures/comparisons.py",
            "statistics/measures.py",
            "labels.py",
            "markup.py",
            "templates/comparison.md.j2",
        ),
    ),
    "evaluate": (
        "lesion_core.evaluation.version",
        (
            *("evaluation", "statistics", "lineage", "images", "fields"),
            *("serving/predictor.py", "dataset/model_images.py"),
            *("labels.py", "markup.py"),
            *(f"figures/{part}.py" for part in ("canvas", "outcome", "performance", "image_grids")),
        ),
    ),
}
# Decide only which trainings there are, and for which dataset.
PLANS = {"comparison/plan.py", "recipes/datasets.py"}


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
    core = ROOT / "lesion_core"
    files = sorted(
        file
        for place in STEPS[step][1]
        for file in ((core / place).rglob("*.py") if (core / place).is_dir() else [core / place])
    )
    digest = hashlib.sha256()
    for file in files:
        if file.relative_to(core).as_posix() in PLANS:
            continue
        digest.update(file.relative_to(core).as_posix().encode())
        text = file.read_text(encoding="utf-8")
        digest.update((ast.dump(_bare(ast.parse(text))) if file.suffix == ".py" else text).encode())
    return digest.hexdigest()


def version(step: str) -> int:
    """Return the step's version constant."""
    return int(importlib.import_module(STEPS[step][0]).STEP_VERSION)


def record(harmless: str | None) -> None:
    """Write the present versions and digests; refuse a silent change."""
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for step in STEPS:
        entry = {"version": version(step), "code": code_digest(step)}
        before = known.get(step)
        changed = before and before["code"] != entry["code"] and before["version"] == entry["version"]
        if changed and not harmless:
            raise SystemExit(
                f"{step}: the code changed under one version; raise STEP_VERSION in {STEPS[step][0]}, or "
                f"say --harmless REASON if older outputs stay right"
            )
        reasons = (before or {}).get("harmless", []) if before and before["version"] == entry["version"] else []
        known[step] = {**entry, "harmless": [*reasons, harmless] if changed and harmless else reasons}
    RECORD.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--harmless", help="why outputs made by the code before stay right")
    record(parser.parse_args().harmless)
