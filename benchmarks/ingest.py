"""Ingestion against the official client and a bare one, from one mirror, in one run.

::

    python -m benchmarks.ingest --archive DIR [--images 2000] [--isic-cli PATH] [--rounds 3]

``DIR`` is a folder as isic-cli leaves it. A mirror of some of its images runs as a process of its own; each client is
a process of its own, too, and states how long the work took without its start. In turn, each lists the archive and
fetches every image over the same number of connections:

- ours: listing in bulk, Content-Length, ETag, decoding, sha256, store, snapshot;
- bare: ``httpx`` with connections kept alive, one page after the other, then the files to disk, nothing checked;
- isic-cli: the official client as it stands (it opens a connection for each image), pointed at the mirror.

``--full`` measures ours on the whole folder as well: memory, and a second run in which nothing has changed.
"""

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import write_result
from deployments.stack.addresses import answers, free_port
from deployments.stack.waiting import wait_for

CONNECTIONS = 10
_PATIENCE_SECONDS = 60


def main() -> None:
    """Run the comparison, and write ``docs/results/ingest.json``."""
    options = _options()
    if options.client:
        print(json.dumps(_CLIENTS[options.client](options.url, Path(options.into))))
        return
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as scratch:
        result = _measure(options, Path(scratch))
    path = write_result("ingest", _command(options), result)
    print(json.dumps(result["table"], indent=1), path, sep="\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="folder as isic-cli leaves it")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--isic-cli", help="Python of an environment that holds isic-cli; without it that peer is left out"
    )
    parser.add_argument("--full", action="store_true", help="also ingest the whole folder, twice")
    parser.add_argument("--client", choices=list(_CLIENTS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--into", help=argparse.SUPPRESS)
    return parser.parse_args()


def _command(options: argparse.Namespace) -> str:
    flags = " --full" if options.full else ""
    return f"python -m benchmarks.ingest --archive DIR --images {options.images} --rounds {options.rounds}{flags}"


def _measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    part = part_of(options.archive, options.images, scratch / "part")
    clients = {
        "ours": [sys.executable, "-m", "benchmarks.ingest", "--client", "ours"],
        "bare": [sys.executable, "-m", "benchmarks.ingest", "--client", "bare"],
    }
    if options.isic_cli:
        clients["isic-cli"] = [options.isic_cli, str(Path(__file__).with_name("isic_cli_client.py"))]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in clients}
    with mirror(part) as url:
        for number in range(options.rounds + 1):  # the first round warms the caches and does not count
            for name, command in clients.items():
                run = timed(command, url, scratch / f"{name}-{number}")
                if number:
                    runs[name].append(run)
    full = _whole(options.archive, scratch) if options.full else None
    return {
        "images": options.images,
        "connections": CONNECTIONS,
        "runs": runs,
        "full": full,
        "table": _table(runs, full),
    }


def timed(command: list[str], url: str, into: Path) -> dict[str, float]:
    """Run a client into a new folder; return its own figures, and the wall time of the process.

    What a run wrote stays until the end: a file system is slow to make files just after it deleted thousands.
    """
    into.mkdir()
    began = time.perf_counter()
    outcome = subprocess.run([*command, "--url", url, "--into", str(into)], capture_output=True, text=True)
    wall = time.perf_counter() - began
    if outcome.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{outcome.stdout[-2000:]}{outcome.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(outcome.stdout.splitlines()[-1])
    return {**figures, "wall_seconds": wall}


def _whole(archive: Path, scratch: Path) -> dict[str, dict[str, float]]:
    """Ingest the whole folder twice into one store."""
    with mirror(archive) as url:
        command = [sys.executable, "-m", "benchmarks.ingest", "--client", "ours"]
        first = timed(command, url, scratch / "whole")
        began = time.perf_counter()
        outcome = subprocess.run(
            [*command, "--url", url, "--into", str(scratch / "whole")], capture_output=True, text=True, check=True
        )
        second = {**json.loads(outcome.stdout.splitlines()[-1]), "wall_seconds": time.perf_counter() - began}
    return {"first": first, "unchanged": second}


def _table(runs: dict[str, list[dict[str, float]]], full: dict[str, dict[str, float]] | None) -> dict[str, Any]:
    header = [
        "client",
        "images",
        "images/s (start excluded)",
        "ours by it, round by round",
        "wall seconds",
        "peak MB",
    ]
    rates = {name: [run["images"] / run["seconds"] for run in each] for name, each in runs.items()}
    rows = []
    for name, each in runs.items():
        ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates[name], strict=True)]
        rows.append(
            [
                name,
                f"{int(each[0]['images']):,}",
                f"{statistics.median(rates[name]):.0f}",
                "1"
                if name == "ours"
                else f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                f"{statistics.median(run['wall_seconds'] for run in each):.1f}",
                f"{max(run['peak_mb'] for run in each):.0f}",
            ]
        )
    for title, run in (full or {}).items():
        rate = f"{run['images'] / run['seconds']:.0f}"
        rows.append(
            [
                f"ours, whole folder, {title}",
                f"{int(run['images']):,}",
                rate,
                "",
                f"{run['wall_seconds']:.1f}",
                f"{run['peak_mb']:.0f}",
            ]
        )
    return {"header": header, "rows": rows}


def fetch_ours(url: str, into: Path) -> dict[str, float]:
    """Ingest into a local store."""
    from lesion_core.isic.api.client import ArchiveClient
    from lesion_core.isic.ingest.ingest import ingest
    from lesion_core.isic.source import ArchiveSource
    from lesion_core.stores.local import LocalStore

    ArchiveClient(url).close()  # loads what it needs once: a part of the start
    began = time.perf_counter()
    snapshot = ingest(ArchiveSource(url=url, connections=CONNECTIONS), LocalStore(into), workdir=into / ".work")
    return _figures(snapshot.n_images, began)


def fetch_bare(url: str, into: Path) -> dict[str, float]:
    """List page by page, fetch with connections kept alive, write plain files; check nothing."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    with httpx.Client(limits=limits, timeout=30) as client, ThreadPoolExecutor(CONNECTIONS) as pool:
        began = time.perf_counter()  # the client is made before, as a part of the start

        def fetch(image: dict[str, Any]) -> None:
            answer = client.get(image["files"]["full"]["url"])
            answer.raise_for_status()
            (into / f"{image['isic_id']}.jpg").write_bytes(answer.content)

        images: list[dict[str, Any]] = []
        following: str | None = f"{url}images/search/?limit=100"
        while following:
            page = client.get(following).json()
            images += page["results"]
            following = page["next"]
        list(pool.map(fetch, images))
        return _figures(len(images), began)


_CLIENTS: dict[str, Callable[[str, Path], dict[str, float]]] = {"ours": fetch_ours, "bare": fetch_bare}


def _figures(n_images: int, began: float) -> dict[str, float]:
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"images": n_images, "seconds": seconds, "peak_mb": peak}


def part_of(archive: Path, n_images: int, part: Path) -> Path:
    """Make a folder with every so-manieth image of the archive."""
    with (archive / "metadata.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    chosen = rows[:: max(1, len(rows) // n_images)][:n_images]
    part.mkdir()
    with (part / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    for row in chosen:
        (part / f"{row['isic_id']}.jpg").symlink_to((archive / f"{row['isic_id']}.jpg").resolve())
    return part


@contextmanager
def mirror(folder: Path) -> Iterator[str]:
    """Serve a folder from a process of its own; yield the base address of its API."""
    port = free_port(0)
    command = [sys.executable, "-m", "deployments.cli", "mirror", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}/api/v2/"
            if not wait_for(lambda: answers(f"{url}images/?limit=1"), seconds=_PATIENCE_SECONDS):
                raise SystemExit(f"the mirror did not answer within {_PATIENCE_SECONDS} seconds")
            yield url
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
