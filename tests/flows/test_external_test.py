"""An external test as it is started: a deployment, a folder, and a model that has not seen it."""

from pathlib import Path

from deployments.runs import run_and_follow
from lesion_core.evaluation.report import external_reports, read_left_out, read_metrics
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import draw, encode
from tests.core.evaluation.test_external import write_images
from tests.core.evaluation.worlds import make_dataset, publish_model
from tests.flows.conftest import Running


def test_a_folder_is_measured_under_its_own_name(running: Running, tmp_path: Path) -> None:
    assert running.store.root is not None
    store = LocalStore(running.store.root)
    dataset = make_dataset(store, tmp_path, n_images=56, name="for-external")
    model = publish_model(store, dataset.ref, tmp_path, recipe="for-external", synthetic=True)
    seen = int(dataset.split("train")["isic_id"].iloc[0].removeprefix("ISIC_"))
    write_images(tmp_path / "set", {number: encode(draw(number)) for number in (seen, 5000, 5001, 5002, 5003)}, {})
    test = {"name": "flow-test", "folder": str(tmp_path / "set"), "labels": ["AKIEC=AK|SCC"]}
    stages: list[str] = []
    run_and_follow(
        running.addresses.prefect,
        "external-test/external-test-local",
        {"test": test, "model_id": model.id},
        on_stage=lambda stage, *_: stages.append(stage),
    )
    assert stages == [
        "find-model",
        "read-external-folder",
        "prepare-dataset",
        "evaluate-model",
        "publish-evaluation",
        "publish-left-out",
    ]
    (report,) = external_reports(store, model)
    assert (report.external, report.n_images) == ("flow-test", 4)
    assert [one["isic_id"] for one in read_left_out(store, report)] == [f"ISIC_{seen:07d}"]
    assert read_metrics(store, report).subject.split_in_words == "external test set flow-test"
