"""A report's numbers and tables for the documentation.

``python -m benchmarks.report_tables STORE REPORT NAME COMMAND``: STORE is a local store, REPORT the JSON of a
report's reference in it, or a file that holds it; NAME what the results are called in docs/results, COMMAND how the
report came about. Numbers alone are written, no image and no id of one.
"""

import json
import sys
from pathlib import Path

from benchmarks.measure import RESULTS, machine
from lesion_core.evaluation.analysis.content import Analyses
from lesion_core.evaluation.rendering.tables import tables_of
from lesion_core.evaluation.report import ANALYSES_NAME, METRICS_NAME
from lesion_core.markup import escape_markdown
from lesion_core.refs import ReportRef
from lesion_core.stores.folders import read_file
from lesion_core.stores.local import LocalStore

SHOWN = {
    "Operating points": "decisions",
    "Conformal sets": "sets",
    "Conformal sets of 90%, by class": "sets-by-class",
    "Out of distribution": "ood",
    "Missing metadata": "metadata",
    "Stress tests": "stress",
}


def main() -> None:
    """Write NAME.json, a report's metrics, and NAME-TABLE.json for each of ``SHOWN``."""
    place, ref, name, command = sys.argv[1:]
    store = LocalStore(Path(place))
    report = ReportRef.model_validate_json(Path(ref).read_text() if Path(ref).is_file() else ref)
    (RESULTS / f"{name}.json").write_bytes(read_file(store, report, METRICS_NAME))
    analyses = Analyses.model_validate_json(read_file(store, report, ANALYSES_NAME))
    for table in tables_of(analyses):
        if (slug := SHOWN.get(table.title)) is not None:
            rows = [[escape_markdown(cell) for cell in row] for row in table.rows]
            content = {
                "command": command,
                "machine": machine(),
                "note": table.note,
                "table": {"header": list(table.header), "rows": rows},
            }
            path = RESULTS / f"{name}-{slug}.json"
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
