"""Files fetched by the standard library's HTTP (``isic/api/wire.py``) against httpx alone, in our own ingestion.

::

    python -m benchmarks.transport --archive DIR [--images 2000] [--rounds 5]

``DIR`` is a folder as isic-cli leaves it, served by a mirror in a process of its own. Each run is a whole ingestion
into a new store, in a process of its own; the two take turns in going first. The first round does not count.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from benchmarks.ingest import fetch_ours, mirror, part_of, timed
from benchmarks.measure import write_result
from lesion_core.isic.api.transport import Answer, Transport


def main() -> None:
    """Run the comparison, and write ``docs/results/transport.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="folder as isic-cli leaves it")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--client", choices=["wire", "httpx"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--into", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        print(json.dumps(_fetch(options.client, options.url, Path(options.into))))
        return
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as scratch:
        result = _measure(options, Path(scratch))
    command = f"python -m benchmarks.transport --archive DIR --images {options.images} --rounds {options.rounds}"
    path = write_result("transport", command, result)
    print(json.dumps(result["table"], indent=1), path, sep="\n")


def _measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    part = part_of(options.archive, options.images, scratch / "part")
    runs: dict[str, list[dict[str, float]]] = {"wire": [], "httpx": []}
    with mirror(part) as url:
        for number in range(options.rounds + 1):
            for name in sorted(runs, reverse=bool(number % 2)):
                command = [sys.executable, "-m", "benchmarks.transport", "--client", name]
                run = timed(command, url, scratch / f"{name}-{number}")
                if number:
                    runs[name].append(run)
    return {"images": options.images, "runs": runs, "table": _table(runs)}


def _table(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    rows = []
    for title, unit, of in (
        ("images a second", "{:.0f}/s", lambda run: run["images"] / run["seconds"]),
        ("images a second of processor time", "{:.0f}/s", lambda run: run["images"] / run["cpu_seconds"]),
    ):
        ours, peer = ([of(run) for run in runs[name]] for name in ("wire", "httpx"))
        ratios = [one / other for one, other in zip(ours, peer, strict=True)]
        rows.append(
            [
                title,
                unit.format(statistics.median(ours)),
                unit.format(statistics.median(peer)),
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            ]
        )
    return {"header": ["an ingestion", "http.client for files", "httpx alone", "ratio"], "rows": rows}


def _fetch(name: str, url: str, into: Path) -> dict[str, float]:
    if name == "httpx":

        def exchange(self: Transport, address: httpx.URL, headers: Mapping[str, str], deadline: float) -> Answer:
            return self._exchange(self._client.build_request("GET", address, headers=dict(headers)), deadline)

        Transport._exchange_file = exchange  # type: ignore[method-assign]
    began = time.process_time()
    return {**fetch_ours(url, into), "cpu_seconds": time.process_time() - began}


if __name__ == "__main__":
    main()
