"""How interpreters end that have read a parquet table: ``python -m benchmarks.exits [--runs 100] [--at-once 4]``.

Each run is an interpreter of its own, forked from one that has loaded everything: it reads a table of 1,000 rows
three times and ends. A busy machine shows the fault more often (``lesion_core/parquet.py`` says what it is). The
readers take turns, in blocks. Writes ``docs/results/exits.json``.
"""

import argparse
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import write_result
from lesion_core.parquet import read_frame

_ROWS, _READS, _BLOCK = 1000, 3, 20


def main() -> None:
    """Count every reader's ends and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="of each reader")
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    body = _table()
    readers: Mapping[str, Callable[[], object]] = {
        "pyarrow.parquet.read_table, from memory": lambda: pq.read_table(io.BytesIO(body)).to_pandas(),
        "lesion_core.parquet": lambda: read_frame(body),
    }
    ends = {name: Counter[int]() for name in readers}
    for start in range(0, options.runs, _BLOCK):
        for name, read in readers.items():
            ends[name] += _ends(read, min(_BLOCK, options.runs - start), options.at_once)
    rows = [[name, f"{found.total():,}", f"{found.total() - found[0]:,}"] for name, found in ends.items()]
    table = {"header": ["read by", "interpreters", "that aborted at their end"], "rows": rows}
    counted = {name: {str(status): n for status, n in found.items()} for name, found in ends.items()}
    result = {"pyarrow": pa.__version__, "load": os.getloadavg()[1], "statuses": counted, "table": table}
    command = f"python -m benchmarks.exits --runs {options.runs} --at-once {options.at_once}"
    print(json.dumps(table, indent=1), write_result("exits", command, result), sep="\n", flush=True)
    os._exit(0)  # this process, too, has read with threads


def _table() -> bytes:
    stream = io.BytesIO()
    ids = [f"ISIC_{number:07d}" for number in range(_ROWS)]
    pq.write_table(pa.table({"isic_id": ids, "years": [float(n) for n in range(_ROWS)], "facts": ids[::-1]}), stream)
    return stream.getvalue()


def _ends(read: Callable[[], object], n_runs: int, at_once: int) -> Counter[int]:
    """Return the exit statuses of so many interpreters, so many at a time; a signal's number is negative."""
    found, n_started, n_running = Counter[int](), 0, 0
    while n_started < n_runs or n_running:
        if n_started < n_runs and n_running < at_once:
            if os.fork() == 0:
                for _ in range(_READS):
                    read()
                sys.exit(0)
            n_started, n_running = n_started + 1, n_running + 1
        else:
            _, status = os.wait()
            found[os.waitstatus_to_exitcode(status)] += 1
            n_running -= 1
    return found


if __name__ == "__main__":
    main()
