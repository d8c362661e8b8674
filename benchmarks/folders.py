"""Artifact folders against the careful way that reads everything again: publishing to a server, opening on a disk.

::

    python -m benchmarks.folders --minio PATH [--files 200] [--shards 32] [--rounds 5]

``PATH`` is a MinIO server's program. Both ways end in a folder of which every byte was verified:

- publishing: the ETag that the server makes of what it receives, against a look for each file before its transfer and
  reading it back after it (a GET, a PUT and a GET for each);
- opening: what was found whole and has not changed since is not hashed again, against hashing every file.

Requests are counted where boto3 sends them.
"""

import argparse
import itertools
import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.measure import Comparison, compare, write_result
from lesion_core.stores import folders
from lesion_core.stores.folders import materialise, publish
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from lesion_core.stores.s3 import S3Store
from lesion_core.stores.transfers import stored_digest, verify
from tests.servers import running_minio

_FILE_BYTES, _SHARD_BYTES = 20_000, 8_000_000
_AGE_SECONDS = 3  # what is younger is not remembered
_numbers = itertools.count()


def main() -> None:
    """Run both comparisons, and write ``docs/results/folders.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minio", type=Path, required=True)
    parser.add_argument("--files", type=int, default=200, help="files of 20 kB in a published folder")
    parser.add_argument("--shards", type=int, default=32, help="shards of 8 MB in an opened folder")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as scratch:
        place = Path(scratch)
        source = _filled(place / "source", options.files, _FILE_BYTES)
        with running_minio(options.minio, place / "minio") as server:
            store = S3Store(
                server.bucket, endpoint=server.endpoint, access_key=server.access_key, secret_key=server.secret_key
            )
            publishing, requests = _publishing(store, source, options.rounds)
        opening = _opening(place, options.shards, options.rounds)
    command = f"python -m benchmarks.folders --minio PATH --files {options.files} --shards {options.shards}"
    result = {
        "publishing": publishing.row() | {"requests": requests},
        "opening": opening.row(),
        "table": _table(publishing, requests, opening, options),
    }
    print(write_result("folders", f"{command} --rounds {options.rounds}", result))


def _filled(folder: Path, n_files: int, n_bytes: int) -> Path:
    folder.mkdir()
    for number in range(n_files):
        (folder / f"{number:05d}").write_bytes(os.urandom(n_bytes))
    return folder


def _publishing(store: S3Store, source: Path, rounds: int) -> tuple[Comparison, dict[str, dict[str, int]]]:
    store.honours_conditions()  # proved once in a process, by both
    n_files = len(list(source.iterdir()))
    asked: Counter[str] = Counter()
    store._client.meta.events.register("before-call.s3", lambda model, **_: asked.update([model.name]))
    requests: dict[str, dict[str, int]] = {}

    def ours() -> float:
        return timed("ours")

    def theirs() -> float:
        upload, folders.upload = folders.upload, _read_and_upload
        try:
            return timed("reading back")
        finally:
            folders.upload = upload

    def timed(name: str) -> float:
        asked.clear()
        began = time.perf_counter()
        key = f"models/benchmark/{next(_numbers):012x}"
        publish(store, key, source, step="benchmark", step_version=1, inputs={}, summary={})
        seconds = time.perf_counter() - began
        requests[name] = dict(asked)
        return n_files / seconds

    return compare("publishing", "reading back", "files", ours=ours, theirs=theirs, rounds=rounds), requests


def _read_and_upload(store: Store, key: str, path: Path, sha256: str) -> None:
    if stored_digest(store, key) == sha256:
        return
    with path.open("rb") as stream:
        store.write(key, stream)
    verify(store, key, sha256)


def _opening(place: Path, n_shards: int, rounds: int) -> Comparison:
    store, cache = LocalStore(place / "store"), place / "cache"
    source = _filled(place / "shards", n_shards, _SHARD_BYTES)
    key = "datasets/benchmark/0123456789ab"
    publish(store, key, source, step="benchmark", step_version=1, inputs={}, summary={})
    time.sleep(_AGE_SECONDS)

    def rate() -> float:
        began = time.perf_counter()
        materialise(store, key, cache)
        return 1 / (time.perf_counter() - began)

    def theirs() -> float:
        shutil.rmtree(cache, ignore_errors=True)  # with what is remembered
        return rate()

    rate()
    return compare("opening", "hashing again", "folders", ours=lambda: _again(rate), theirs=theirs, rounds=rounds)


def _again(rate: Any) -> float:
    """Return the rate of a second opening: the peer's, before it, has left the notes of its own."""
    rate()
    return float(rate())


def _table(
    publishing: Comparison, requests: dict[str, dict[str, int]], opening: Comparison, options: argparse.Namespace
) -> dict[str, Any]:
    header = ["what", "now", "before", "ratio, median (range)", "requests now", "requests before"]
    stored, opened = publishing.row(), opening.row()
    return {
        "header": header,
        "rows": [
            [
                f"publishing {options.files} files of 20 kB to MinIO",
                *(f"{stored[name]:,.0f} files/s" for name in ("ours_median", "theirs_median")),
                _ratio(stored),
                *(str(sum(requests[name].values())) for name in ("ours", "reading back")),
            ],
            [
                f"opening {options.shards} shards of 8 MB in a directory",
                *(f"{1000 / opened[name]:,.1f} ms" for name in ("ours_median", "theirs_median")),
                _ratio(opened),
                "",
                "",
            ],
        ],
    }


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ratio_median']:.1f} ({row['ratio_min']:.1f} to {row['ratio_max']:.1f})"


if __name__ == "__main__":
    main()
