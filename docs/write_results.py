"""Put measured numbers into the documentation: ``python docs/write_results.py``.

A page that shows results has a block ``<!-- results: NAME -->`` … ``<!-- end -->``; NAME.json in ``docs/results`` is
the ``metrics.json`` of a report, or what a benchmark wrote, with a ``table`` of text (``header``, ``rows``). The
tests fail where a block is not what this script makes of its file.
"""

import json
import re
from pathlib import Path
from typing import Any

from lesion_core.evaluation.report import Metrics
from lesion_core.markup import Markdown, code, table

DOCS = Path(__file__).parent
PAGES = (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")))
BLOCK = re.compile(r"(<!-- results: (?P<name>[a-z0-9-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def render(name: str) -> str:
    """Return the text of one block."""
    body = (DOCS / "results" / f"{name}.json").read_text(encoding="utf-8")
    result = json.loads(body)
    return _measurements(result) if "table" in result else _report(Metrics.model_validate_json(body))


def _measurements(result: dict[str, Any]) -> str:
    header, rows = result["table"]["header"], result["table"]["rows"]
    lines = [
        table(header, [[Markdown(cell) for cell in row] for row in rows]),  # as the file has it
        "",
        f"{code(result['command'])}{_where(result.get('machine'))}{_beside(result.get('beside'))}.",
    ]
    return "\n".join(lines) + "\n"


def _where(machine: dict[str, Any] | None) -> str:
    """Say on which machine something was measured; behaviour, which is the same everywhere, has none."""
    if machine is None:
        return ""
    return f" on {machine['cores']} cores ({machine['processor']}), {machine['system']}, Python {machine['python']}"


def _beside(other: str | None) -> str:
    """Say what something was compared with."""
    return f", beside {other}" if other else ""


def _report(metrics: Metrics) -> str:
    subject = metrics.subject
    rows = [(row["measure"], row["value"], row["interval"]) for row in metrics.headline_rows()]
    recalls = " · ".join(
        f"{one.diagnosis} {one.sensitivity.value:.2f} ({one.n_images})"
        for one in metrics.classes
        if one.sensitivity.value is not None
    )
    lines = [
        f"Model `{subject.model_id}`, {subject.split} split of `{subject.dataset_id}`, {subject.n_images} images:",
        "",
        table(("measure", "value", "95 % interval"), rows),
        "",
        f"Sensitivity by class (images): {recalls}.",
    ]
    return "\n".join(lines) + "\n"


def rendered(text: str) -> str:
    """Return a page's text with every block made anew."""
    return BLOCK.sub(lambda found: found[1] + render(found["name"]) + found[4], text)


def main() -> None:
    """Rewrite the blocks of every page."""
    for page in PAGES:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
