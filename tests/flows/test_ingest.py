"""Ingestion by the same flow on threads and on a Dask cluster, and what it refuses."""

import json
import re
from pathlib import Path

import pytest

from lesion_core.isic.snapshot import read_images
from lesion_core.refs import SnapshotRef
from lesion_core.settings import LesionSettings
from lesion_core.stores.open import open_store
from lesion_core.stores.references import get_reference
from tests.conftest import ROOT
from tests.flows.conftest import Running

# What the flow is started with: the archive of the stack (two planted faults may be missing), 25 images a shard.
SCRIPT = """
import os, threading
from flows.ingest import ingest_flow
from lesion_core.isic.source import ArchiveSource

if __name__ == "__main__":
    snapshot = ingest_flow(ArchiveSource(tolerance=0.02), name="scaled")
    print("SNAPSHOT", snapshot.model_dump_json())
"""


def ingested(running: Running, home: Path, **variables: str) -> tuple[SnapshotRef, str]:
    """Run the flow in a process and a store of its own; return its snapshot, and what it logged."""
    script = home / "ingest.py"
    script.write_text(SCRIPT)
    extra = {"LESION_STORE": str(home / "store"), "LESION_WORK": str(home / "work"), "LESION_SHARD_IMAGES": "25"}
    outcome = running.python(str(script), PYTHONPATH=str(ROOT), **extra, **variables)
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    found = re.search(r"^SNAPSHOT (.*)$", outcome.stdout, re.MULTILINE)
    assert found
    return SnapshotRef.model_validate(json.loads(found[1])), outcome.stdout + outcome.stderr


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [2, pytest.param(4, marks=pytest.mark.nightly)])
def test_threads_and_a_cluster_bring_the_same_images(running: Running, tmp_path: Path, n_workers: int) -> None:
    tables = {}
    for runner, workers in (("threads", "2"), ("dask", str(n_workers))):
        home = tmp_path / runner
        home.mkdir()
        snapshot, log = ingested(running, home, LESION_RUNNER=runner, LESION_SHARDS_AT_ONCE=workers)
        store = open_store(LesionSettings(store=str(home / "store")))
        assert get_reference(store, SnapshotRef, "snapshots", snapshot.id) == snapshot
        tables[runner] = read_images(store, snapshot, home / "cache")
        assert len([key for key in store.list("shards/") if key.endswith("index.json")]) == 10
        assert len(list(store.list("archive/"))) == snapshot.n_images
        if runner == "dask":
            assert "LocalCluster" in log
            assert workers in re.findall(r"workers=(\d+)", log) or "Dask" in log
    assert tables["threads"].equals(tables["dask"])


def test_a_cluster_that_is_not_there_is_named(running: Running, tmp_path: Path) -> None:
    script = tmp_path / "ingest.py"
    script.write_text(SCRIPT)
    outcome = running.python(
        str(script),
        PYTHONPATH=str(ROOT),
        LESION_STORE=str(tmp_path / "store"),
        LESION_RUNNER="dask",
        LESION_DASK_ADDRESS="tcp://127.0.0.1:9",
        DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="2s",
    )
    assert outcome.returncode != 0
    assert "127.0.0.1:9" in outcome.stdout + outcome.stderr
