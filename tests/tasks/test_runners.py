"""How many tasks a flow does side by side, and in which order they are handed out."""

from types import SimpleNamespace
from typing import ClassVar

import pytest
from prefect.task_runners import ThreadPoolTaskRunner

from flows import compare
from tasks.runners import comparison_runner, task_runner, trial_runner


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for what, number in (("SHARDS", "2"), ("TRIALS", "3"), ("RUNS", "5")):
        monkeypatch.setenv(f"LESION_{what}_AT_ONCE", number)


def test_shards_trials_and_runs_have_numbers_of_their_own() -> None:
    assert task_runner() == ThreadPoolTaskRunner(max_workers=2)
    assert trial_runner() == ThreadPoolTaskRunner(max_workers=3)
    assert comparison_runner() == ThreadPoolTaskRunner(max_workers=10)  # training and evaluation of five
    assert compare.compare_flow.task_runner != task_runner()


def test_on_a_local_cluster_a_run_in_hand_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("prefect_dask", reason="the extra 'dask' is not installed")
    monkeypatch.setenv("LESION_RUNNER", "dask")
    runner = comparison_runner()
    assert isinstance(runner, dask.DaskTaskRunner)
    assert runner.cluster_kwargs["n_workers"] == 5
    monkeypatch.setenv("LESION_DASK_ADDRESS", "tcp://cluster:8786")
    assert comparison_runner() == dask.DaskTaskRunner(address="tcp://cluster:8786")


class Submitted:
    """A task that is only noted, and what it would come to."""

    log: ClassVar[list[str]] = []

    def __init__(self, name: str, outcome: object) -> None:
        self.name, self.outcome = name, outcome
        self.given: list[tuple[object, ...]] = []

    def submit(self, *given: object, **_: object) -> "Submitted":
        self.given.append(given)
        self.log.append(self.name)
        return self

    def result(self, *, raise_on_failure: bool) -> object:
        assert not raise_on_failure
        return self.outcome


@pytest.mark.parametrize("model", ["a model", MemoryError("out of memory")])
def test_an_evaluation_stands_before_the_trainings_of_later_runs(
    monkeypatch: pytest.MonkeyPatch, model: object
) -> None:
    """Threads take tasks in the order they were submitted in: all trainings first would leave none to evaluations."""
    Submitted.log.clear()
    training, evaluation = Submitted("training", model), Submitted("evaluation", "a report")
    runs = [SimpleNamespace(recipe="one", dataset="d", fold=fold) for fold in (0, 1)]
    request = SimpleNamespace(split="test", reason="why")
    plan = SimpleNamespace(runs=runs, request=request, companions=("one/a", "one/b"))
    monkeypatch.setattr(compare, "plan_comparison", lambda _: plan)
    monkeypatch.setattr(compare, "train_model", training)
    monkeypatch.setattr(compare, "evaluate_model", evaluation)
    monkeypatch.setattr(compare, "note_outcome", lambda *given: given)
    monkeypatch.setattr(compare, "publish_comparison", lambda _, outcomes: outcomes)

    outcomes: object = compare.compare_flow.fn("any")
    assert Submitted.log == ["training", "evaluation"] * 2
    assert evaluation.given == [(training, "d", "test", "why", ("one/a", "one/b"))] * 2
    failed = isinstance(model, Exception)
    assert outcomes == [(run, model, model if failed else "a report") for run in runs]
