"""The report on a dataset, as the Prefect UI shows it."""

from pathlib import Path

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import prepare
from lesion_core.dataset_report.spec import FIGURES, DataReportJob, data_report_key_of
from lesion_core.stores.folders import find
from tasks import publish
from tests.core.dataset.snapshots import simple_images, store_snapshot
from tests.flows.conftest import Running
from tests.flows.test_ui import ask

TASK = "import sys; from tasks.dataset import *; publish_data_report(DatasetRef.model_validate_json(sys.argv[1]))"


def test_it_is_one_artifact_with_its_figures_and_tables(running: Running, tmp_path: Path) -> None:
    images = simple_images(range(40), attribution="<script>alert(1)</script>")
    snapshot = store_snapshot(running.store, images, tmp_path / "snapshot", name="reported")
    options = PrepareOptions(name="reported", size_px=32)
    dataset = prepare(snapshot, options, running.store, workdir=tmp_path / "work")
    outcome = running.python("-c", TASK, dataset.model_dump_json())
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    assert find(running.store, data_report_key_of(DataReportJob(dataset=dataset))) is not None
    artifacts = ask(running, "/artifacts/filter", {"artifacts": {"key": {"any_": [publish.DATA_REPORT]}}})
    (artifact,) = (one for one in artifacts if dataset.id in one["description"])
    assert artifact["type"] == "markdown"
    assert artifact["description"].endswith("/report.html")
    shown = artifact["data"]
    assert shown.count("](data:image/png;base64,") == len(FIGURES)
    assert "| Melanoma (MEL) |" in shown
    assert "<script" not in shown
