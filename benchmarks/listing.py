"""Memory of listing an archive, by its size: ``python -m benchmarks.listing [--sizes 20000 100000 500000]``.

A small server makes up the bulk tables of an archive of each size as it sends them. Listing runs in a process of its
own, whose peak resident size is what is measured; nothing is downloaded. Writes ``docs/results/listing.json``.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.measure import write_result

_COLUMNS = (
    "isic_id,attribution,copyright_license,age_approx,anatom_site_1,diagnosis_1,diagnosis_2,diagnosis_3,"
    "diagnosis_confirm_type,image_type,lesion_id,sex"
)
_CELLS = (
    "Some clinic in some town,CC-BY,{age},Trunk,Benign,Benign melanocytic proliferations,Nevus,histopathology,"
    "dermoscopic,IL_{number:07d},female"
)
_ROWS_AT_ONCE = 1000


def main() -> None:
    """Measure every size and write the result."""
    options = _options()
    if options.url:
        print(json.dumps(_list(options.url)))
        return
    runs = [_measured(size) for size in options.sizes]
    rows = [[f"{run['images']:,}", f"{run['seconds']:.1f}", f"{run['peak_mb']:.0f}"] for run in runs]
    table = {"header": ["images listed", "seconds", "peak MB"], "rows": rows}
    sizes = " ".join(map(str, options.sizes))
    path = write_result("listing", f"python -m benchmarks.listing --sizes {sizes}", {"runs": runs, "table": table})
    print(json.dumps(table, indent=1), path, sep="\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000, 500_000])
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


def _list(url: str) -> dict[str, Any]:
    from lesion_core.isic.listing.listing import list_archive
    from lesion_core.isic.source import ArchiveSource
    from lesion_core.stores.local import LocalStore

    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as folder:
        began = time.perf_counter()
        listing = list_archive(ArchiveSource(url=url, listing="bulk"), LocalStore(Path(folder)))
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"images": listing.n_listed, "shards": listing.n_shards, "seconds": seconds, "peak_mb": peak}


def _measured(size: int) -> dict[str, Any]:
    with _archive(size) as url:
        command = [sys.executable, "-m", "benchmarks.listing", "--url", url]
        outcome = subprocess.run(command, capture_output=True, text=True)
    if outcome.returncode:
        raise SystemExit(outcome.stdout + outcome.stderr)
    result: dict[str, Any] = json.loads(outcome.stdout)
    return result


@contextmanager
def _archive(size: int) -> Iterator[str]:
    """Serve the bulk routes of an archive of so many images; yield its base address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send(iter(['"http://host/download?zsid=all"']))

        def do_GET(self) -> None:
            if "metadata-file" in self.path:
                self._send(_table(size))
            elif "file-listing" in self.path:
                self._send(_files(size))
            else:
                self._send(iter([json.dumps({"results": [], "count": size, "next": None, "previous": None})]))

        def _send(self, parts: Iterator[str]) -> None:
            self.send_response(200)
            self.end_headers()
            while block := "".join(itertools.islice(parts, _ROWS_AT_ONCE)):
                self.wfile.write(block.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api/v2/"
    finally:
        server.shutdown()
        thread.join()


def _table(size: int) -> Iterator[str]:
    yield f"{_COLUMNS}\n"
    for number in range(size):
        yield f"ISIC_{number * 19 % 10_000_000:07d},{_CELLS.format(age=5 * (number % 17), number=number)}\n"


def _files(size: int) -> Iterator[str]:
    yield '{"suggestedFilename": "ISIC-images.zip", "files": ['
    for number in range(size):
        name = f"ISIC_{number * 19 % 10_000_000:07d}.jpg"
        comma = "," if number else ""
        yield f'{comma}{{"url": "https://bucket.example/images/{name}", "zipPath": "{name}"}}'
    yield "]}"


if __name__ == "__main__":
    main()
