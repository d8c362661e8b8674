"""Recipes compared as a user starts it: a form's parameters, trainings in children, one that fails, a leaderboard."""

import asyncio
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.runs import run_and_follow
from lesion_core.comparison.leaderboard import Leaderboard, read_leaderboard
from lesion_core.comparison.spec import ComparisonRef
from lesion_core.evaluation.test_access import read_accesses
from lesion_core.stores.references import list_references
from tasks import publish
from tests.flows.conftest import Running

FOLD, DATASET = 1, "comparable"


def _recipe(name: str, **changes: object) -> dict[str, object]:
    optimisation = {"epochs": 1, "head_epochs": 0, "batch_size": 32}
    fields = {"dataset": DATASET, "size_px": 32, "backbone": "tiny", "weights": "none", "optimisation": optimisation}
    return {"name": name, **fields, **changes}


@pytest.fixture(scope="module")
def prepared(running: Running) -> None:
    """A small dataset of its own, prepared as a user would."""
    parameters = {"source": {"limit": 160, "tolerance": 0.02}, "options": {"name": DATASET, "size_px": 32}}
    run_and_follow(running.addresses.prefect, "prepare/prepare-local", parameters, on_stage=lambda *_: None)


@pytest.fixture(scope="module")
def broken_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "broken.weights.h5"
    path.write_bytes(b"no weights")
    return path


def _compare(running: Running, parameters: dict[str, object]) -> list[str]:
    stages: list[str] = []
    run_and_follow(
        running.addresses.prefect,
        "compare/compare-local",
        {"comparison": parameters},
        on_stage=lambda stage, *_: stages.append(stage),
    )
    return stages


def _boards(running: Running) -> list[tuple[ComparisonRef, Leaderboard]]:
    refs = list_references(running.store, ComparisonRef, "comparisons/flow-test/")
    return [(ref, read_leaderboard(running.store, ref)) for ref in refs]


@pytest.mark.writes_errors(r"train-model broken", r"Finished in state NotReady")
def test_recipes_are_trained_without_the_fold_and_a_failure_does_not_lose_the_others(
    running: Running, prepared: None, broken_weights: Path
) -> None:
    recipes = [
        _recipe("image-only", fusion="none"),
        _recipe("with-metadata", fusion="concat"),
        _recipe("broken", weights=str(broken_weights)),
    ]
    looks = read_accesses(running.store)
    request = {"name": "flow-test", "recipes": recipes, "folds": [FOLD], "baseline": "image-only", "n_bootstrap": 200}
    stages = _compare(running, request)
    assert {"plan-comparison", "train-model", "evaluate-model", "note-outcome", "publish-comparison"} <= set(stages)
    ((ref, board),) = _boards(running)
    assert {entry.recipe for entry in board.entries} == {"image-only", "with-metadata"}
    assert {run.fold for run in board.runs} == {FOLD}
    assert all(0 <= run.balanced_accuracy <= 1 and run.training.seconds > 0 for run in board.runs)
    assert all(entry.n_parameters and entry.n_parameters > 1000 for entry in board.entries)
    (failure,) = board.failures
    assert (failure.recipe, failure.fold) == ("broken", FOLD)
    assert failure.reason.startswith("training: ConfigError")
    assert board.synthetic
    assert read_accesses(running.store) == looks  # the calibration split is no test

    async def shown() -> tuple[set[str], set[str]]:
        async with get_client() as client:
            artifacts, runs = await client.read_artifacts(limit=200), await client.read_task_runs(limit=200)
        return {artifact.key or "" for artifact in artifacts}, {task_run.name for task_run in runs}

    with temporary_settings({PREFECT_API_URL: f"{running.addresses.prefect}/api"}):
        artifacts, names = asyncio.run(shown())
    assert {publish.LEADERBOARD, publish.COMPARISON} <= artifacts
    assert {f"train-model {recipe['name']} fold {FOLD}" for recipe in recipes} <= names
    assert ref.reference == "image-only"
