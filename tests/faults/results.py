"""The documentation's tables of bad input, as files."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tests.conftest import ROOT

RESULTS = ROOT / "docs" / "results"
COMMAND = "python -m tests.faults.table && python docs/write_results.py"
Row = tuple[str, ...]


def committed(name: str) -> list[Row]:
    """Return the rows that the documentation shows."""
    return [tuple(row) for row in _read(name)["table"]["rows"]]


def compared_with(name: str) -> str:
    """Return beside what a table's numbers were taken."""
    return str(_read(name)["beside"])


def write(name: str, header: Sequence[str], rows: Iterable[Row], **more: str) -> None:
    """Write a table, with what else is to be said of it."""
    result = {"command": COMMAND, **more, "table": {"header": header, "rows": list(rows)}}
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (RESULTS / f"bad-input-{name}.json").write_text(f"{text}\n", encoding="utf-8")


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"bad-input-{name}.json").read_text(encoding="utf-8"))
