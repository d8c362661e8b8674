"""The comparing child: from stored reports to a stored leaderboard, made once."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import ingredients
from benchmarks.accuracy import newest_board, result_of
from lesion_core.comparison import job as comparison_job
from lesion_core.comparison.leaderboard import read_leaderboard
from lesion_core.comparison.page import in_words
from lesion_core.comparison.spec import (
    FIGURES,
    CompareRequest,
    ComparisonJob,
    ComparisonRef,
    Outcome,
    Run,
    comparison_key_of,
)
from lesion_core.errors import ArtifactCorrupt, ArtifactNotFound, DataError
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.test_access import record_access
from lesion_core.progress import ignore_progress
from lesion_core.registry.retention import make_plan
from lesion_core.stores.folders import get_index, read_file
from lesion_core.stores.local import LocalStore
from tests.core.comparison.boards import make_recipe
from tests.core.evaluation.worlds import make_dataset, publish_model, publish_report, right
from tests.core.registry.collecting import MONTH, later


def _one_wrong(true: np.ndarray) -> np.ndarray:
    return np.concatenate([(true[:1] + 1) % 7, true[1:]])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, ComparisonJob, ComparisonRef]:
    """Two recipes on two folds, and a run that failed."""
    place = tmp_path_factory.mktemp("comparing")
    store = LocalStore(place / "store")
    dataset = make_dataset(store, place)
    outcomes = []
    for number, (recipe, fold) in enumerate((recipe, fold) for recipe in ("good", "bad") for fold in (0, 1)):
        facts = {"n_parameters": 1234 + number, "fit_seconds": 90.0}
        model = publish_model(store, dataset.ref, place, seed=number, fold=fold, recipe=recipe, **facts)
        report = publish_report(store, model, dataset, place, right if recipe == "good" else _one_wrong, seed=number)
        run = Run(recipe=make_recipe(recipe), dataset=dataset.ref, fold=fold)
        outcomes.append(Outcome(run=run, model=model, report=report))
    broken = Run(recipe=make_recipe("broken"), dataset=dataset.ref, fold=0)
    outcomes.append(Outcome(run=broken, failure="training: ConfigError: no such weights"))
    request = CompareRequest(
        name="pair", recipes=("good", "bad", "broken"), folds=(0, 1), split="test", baseline="bad", n_bootstrap=200
    )
    job = ComparisonJob(request=request, outcomes=tuple(outcomes))
    return store, job, _compare(store, job, place / "work")


def _compare(store: LocalStore, job: ComparisonJob, work: Path) -> ComparisonRef:
    return comparison_job.run(job.model_dump(mode="json"), store=store, workdir=work, on_progress=ignore_progress)


def test_a_comparison_is_complete_and_says_what_it_found(
    world: tuple[LocalStore, ComparisonJob, ComparisonRef],
) -> None:
    store, job, ref = world
    assert ref.key == comparison_key_of(job)
    assert (ref.best, ref.reference, ref.n_recipes, ref.n_failed, ref.split) == ("good", "bad", 2, 1, "test")
    assert set(get_index(store, ref)[1].files) == {
        *("leaderboard.json", "leaderboard.csv", "summary.md", "doubtful_labels.csv"),
        *(f"recipes/{name}-s7.json" for name in ("good", "bad", "broken")),
        *(f"figures/{name}.png" for _, name in FIGURES),
    }
    board = read_leaderboard(store, ref)
    assert [entry.recipe for entry in board.entries] == ["good", "bad"]
    assert board.entries[0].balanced_accuracy.value == 1
    assert board.entries[0].n_parameters == 1234
    assert board.entries[0].training_seconds == 90
    assert board.runs[0].training.validation == (0.2, 0.35, 0.3)
    table = pd.read_csv(io.BytesIO(read_file(store, ref, "leaderboard.csv")))
    assert table["difference"][0] == pytest.approx(1 - board.entries[1].balanced_accuracy.value)  # type: ignore[operator]
    assert json.loads(read_file(store, ref, "recipes/broken-s7.json"))["backbone"] == "tiny"
    assert (
        "broken, seed 7, fold 0: training: ConfigError: no such weights"
        in read_file(store, ref, "summary.md").decode()
    )


def test_the_same_runs_are_compared_once(
    world: tuple[LocalStore, ComparisonJob, ComparisonRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, job, ref = world
    monkeypatch.setattr(comparison_job, "_make", lambda *_: pytest.fail("compared again"))
    assert _compare(store, job, tmp_path) == ref
    other = job.model_copy(update={"outcomes": job.outcomes[:-1]})
    assert comparison_key_of(other) != ref.key


def test_it_outlives_the_models_that_it_was_made_from(
    world: tuple[LocalStore, ComparisonJob, ComparisonRef],
) -> None:
    store, job, _ = world
    plan = make_plan(store, retention=MONTH, now=later()())
    going = {item.folder.key for item in plan.folders}
    assert {each.model.key for each in job.outcomes if each.model} <= going
    assert not any(key.startswith("comparisons/") for key in going)
    assert not any(entry.key.startswith(("comparisons/", "looks/")) for entry in plan.unknown)


def test_the_numbers_for_the_docs_are_those_of_the_leaderboard(
    world: tuple[LocalStore, ComparisonJob, ComparisonRef],
) -> None:
    store, job, ref = world
    found = newest_board(store, "bad")
    assert found == (ref.id, read_leaderboard(store, ref))
    looked = next(each.model for each in job.outcomes if each.run.recipe.name == "bad" and each.run.fold == 1)
    assert looked is not None
    record_access(EvaluateJob(model=looked, dataset=looked.dataset), store)

    result = result_of(store, *found, "bad")
    entry = found[1].entries[1]
    rows = {name: (value, interval) for name, value, interval in result["table"]["rows"]}
    (score,) = (rows[name] for name in rows if name.startswith("balanced accuracy, mean of folds 0, 1 ("))
    assert score == (f"{entry.balanced_accuracy.value:.3f}", entry.balanced_accuracy.interval_in_words())
    assert rows["minutes of training per fold, mean and longest"][0] == "1.5, 1.5"
    assert rows["models of this recipe measured on a fold's test images so far"][0] == "0 (fold 0), 1 (fold 1)"
    for measure in ("sensitivity, ", "AUC, "):
        assert sum(name.startswith(measure) for name in rows) == 8
    assert [run["fold"] for run in result["runs"]] == [0, 1]
    with pytest.raises(ArtifactNotFound, match="run the flow 'compare' with split 'test' first"):
        newest_board(store, "ugly")


@pytest.fixture
def copied(
    world: tuple[LocalStore, ComparisonJob, ComparisonRef], tmp_path: Path
) -> tuple[LocalStore, ComparisonJob]:
    """A copy of the store, to compare in; and the job without the run that failed."""
    store, job, _ = world
    assert store.root is not None
    shutil.copytree(store.root, tmp_path / "store")
    return LocalStore(tmp_path / "store"), job.model_copy(update={"outcomes": job.outcomes[:-1]})


def test_ingredients_are_listed_after_their_base(copied: tuple[LocalStore, ComparisonJob], tmp_path: Path) -> None:
    store, job = copied
    ref = _compare(store, job, tmp_path)
    assert ingredients.newest(store, "pair") == ref
    rows = ingredients.result_of(store, ref)["table"]["rows"]
    assert (rows[0][0], rows[0][2]) == ("nothing: bad", "the reference")  # first, though it scores less
    assert rows[1][0] == "nothing: good"
    assert rows[1][2].startswith("+0.")
    assert rows[1][3] == "100 %"
    with pytest.raises(ArtifactNotFound, match="run the flow 'compare' with it first"):
        ingredients.newest(store, "nothing-of-that-name")


def test_numbers_of_some_runs_do_not_go_out_as_those_of_all(
    copied: tuple[LocalStore, ComparisonJob], tmp_path: Path
) -> None:
    store, job = copied
    *whole, last = job.outcomes
    lost = Outcome(run=last.run, failure="training: ChildKilled: out of memory")
    ref = _compare(store, job.model_copy(update={"outcomes": (*whole, lost)}), tmp_path)
    board = read_leaderboard(store, ref)
    with pytest.raises(DataError, match="got none of: bad, seed 7, fold 1; run the flow 'compare' with it again"):
        result_of(store, ref.id, board, "bad")
    assert result_of(store, ref.id, board, "good")["entry"]["n_runs"] == 2
    with pytest.raises(DataError, match="expected recipe 'ugly' in comparison 'pair', got bad, good; name one"):
        result_of(store, ref.id, board, "ugly")
    with pytest.raises(DataError, match="got none of: bad, seed 7, fold 1; run the flow 'compare' with it again"):
        ingredients.result_of(store, ref)


def test_a_recipe_that_stands_in_for_the_baseline_is_said_to(
    world: tuple[LocalStore, ComparisonJob, ComparisonRef],
    copied: tuple[LocalStore, ComparisonJob],
    tmp_path: Path,
) -> None:
    asked = world[1].request.model_copy(update={"baseline": "broken"})
    store, job = copied
    ref = _compare(store, world[1].model_copy(update={"request": asked}), tmp_path)
    board = read_leaderboard(store, ref)
    assert (board.baseline, board.reference) == ("broken", "good")
    words = "baseline broken has no report, good stands in for it"
    assert words in in_words(board)
    assert words in read_file(store, ref, "summary.md").decode()
    with pytest.raises(DataError, match="got none of: broken, seed 7, fold 0"):
        ingredients.result_of(store, ref)
    ref = _compare(store, job.model_copy(update={"request": asked}), tmp_path)
    with pytest.raises(DataError, match="to be held against 'broken', got 'good'"):
        ingredients.result_of(store, ref)
    assert "stands in" not in in_words(read_leaderboard(world[0], world[2]))


def test_a_damaged_leaderboard_is_refused(world: tuple[LocalStore, ComparisonJob, ComparisonRef]) -> None:
    store, _, ref = world
    (key,) = (key for key in store.list(ref.key) if key.endswith("leaderboard.json"))
    body = store.read(key)
    store.write(key, body.replace(b"good", b"best"))
    with pytest.raises(ArtifactCorrupt):
        read_leaderboard(store, ref)
    store.write(key, body)
