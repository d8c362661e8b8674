"""A search as a flow: every trial a task run, on a cluster too, and what it found shown and kept."""

import json
import re
from pathlib import Path

import pytest
import yaml

from lesion_core.dataset.options import PrepareOptions
from lesion_core.dataset.prepare import latest_dataset, prepare
from lesion_core.recipes.recipe import read_recipe
from lesion_core.refs import DatasetRef, ModelRef, SnapshotRef, StudyRef
from lesion_core.search.study_output import BEST_NAME
from lesion_core.stores.folders import get_index, read_file
from lesion_core.stores.references import get_reference
from tasks import publish
from tests.conftest import ROOT
from tests.flows.conftest import Running
from tests.flows.test_ui import ask

RECIPE = {
    "name": "searched",
    "dataset": "two-sizes",
    "size_px": 64,
    "backbone": "tiny",
    "weights": "none",
    "optimisation": {"epochs": 2, "head_epochs": 0, "batch_size": 16},
    "search": {
        "optimisation.learning_rate": {"type": "float", "low": 1.0e-4, "high": 1.0e-2, "log": True},
        "dropout": {"type": "choice", "choices": [0.0, 0.2]},
    },
}
SCRIPT = """
import sys
from flows.tune import tune_flow
from lesion_core.search.study import StudySpec

if __name__ == "__main__":
    study = StudySpec(n_trials=2, pruner="hyperband", min_epochs=1)
    print("STUDY", tune_flow(recipe=sys.argv[1], study=study).model_dump_json())
"""


@pytest.fixture(scope="module")
def searched_dataset(running: Running, approved: ModelRef, tmp_path_factory: pytest.TempPathFactory) -> DatasetRef:
    """What the recipe asks for, beside a newer dataset of the same name with smaller records."""
    store = running.store
    snapshot_id = get_index(store, approved.dataset)[1].inputs["snapshot"]["id"]
    snapshot = get_reference(store, SnapshotRef, "snapshots", snapshot_id)
    work = tmp_path_factory.mktemp("two-sizes")
    wanted, newer = (
        prepare(snapshot, PrepareOptions(name="two-sizes", size_px=size_px), store, workdir=work)
        for size_px in (64, 32)
    )
    assert latest_dataset(store, "two-sizes") == newer
    return wanted


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["threads", pytest.param("dask", marks=pytest.mark.nightly)])
def test_two_trials_become_a_recipe(
    running: Running, searched_dataset: DatasetRef, tmp_path: Path, runner: str
) -> None:
    recipe, script = tmp_path / "searched.yaml", tmp_path / "tune.py"
    name = f"searched-{runner}"
    recipe.write_text(yaml.safe_dump({**RECIPE, "name": name}))
    script.write_text(SCRIPT)
    outcome = running.python(
        *(str(script), str(recipe)),
        timeout=600,
        PYTHONPATH=str(ROOT),
        LESION_RUNNER=runner,
        LESION_TRIALS_AT_ONCE="2",
    )
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    assert ("LocalCluster" in outcome.stdout + outcome.stderr) == (runner == "dask")
    found = re.search(r"^STUDY (.*)$", outcome.stdout, re.MULTILINE)
    assert found
    study = StudyRef.model_validate(json.loads(found[1]))
    assert study.n_trials == 2
    assert study.dataset == searched_dataset
    assert study.base_score is not None
    assert study.best_score >= study.base_score
    best = tmp_path / "best.yaml"
    best.write_bytes(read_file(running.store, study, BEST_NAME))
    assert read_recipe(best).name == f"{name}-tuned"
    assert not [key for key in running.store.list("models/") if "searched" in key]  # nothing was trained to keep

    runs = ask(running, "/flow_runs/filter", {"flows": {"name": {"any_": ["tune"]}}, "limit": 1})
    tasks = ask(running, "/task_runs/filter", {"flow_runs": {"id": {"any_": [runs[0]["id"]]}}})
    assert {"trial-0", "trial-1"} <= {task["name"] for task in tasks}
    artifacts = ask(running, "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [runs[0]["id"]]}}})
    shown = {artifact["key"] for artifact in artifacts}
    assert {publish.STUDY_TRIALS, publish.STUDY_FIGURES, publish.BEST_RECIPE} <= shown


def test_a_search_that_cannot_be_meant_trains_nothing(
    running: Running, searched_dataset: DatasetRef, tmp_path: Path
) -> None:
    recipe, script = tmp_path / "searched.yaml", tmp_path / "tune.py"
    recipe.write_text(yaml.safe_dump({**RECIPE, "search": {"size_px": {"type": "int", "low": 64, "high": 128}}}))
    script.write_text(SCRIPT)
    outcome = running.python(str(script), str(recipe), PYTHONPATH=str(ROOT))
    assert outcome.returncode != 0
    assert "a search may not vary 'size_px'" in outcome.stdout + outcome.stderr
    assert "trial-0" not in outcome.stdout + outcome.stderr
