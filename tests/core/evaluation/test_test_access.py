"""Who looked at which test images: noted before anything is predicted, never twice, and refused a second time."""

import datetime
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactCorrupt, ConfigError
from lesion_core.evaluation import job as evaluation
from lesion_core.evaluation import test_access
from lesion_core.evaluation.report import read_metrics
from lesion_core.evaluation.spec import EvaluateJob
from lesion_core.evaluation.test_access import (
    AccessCounts,
    AccessEntry,
    PlannedAccess,
    check_first_access,
    name_test,
    read_accesses,
    record_access,
)
from lesion_core.keys import canonical_json
from lesion_core.progress import ignore_progress
from lesion_core.refs import ModelRef, ReportRef
from lesion_core.serving.wording import check_wording
from lesion_core.stores.folders import read_file
from lesion_core.stores.local import LocalStore
from tests.core.evaluation.worlds import make_dataset, publish_model
from tests.undrawn import undrawn


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, OpenDataset]:
    """A store with a dataset only."""
    place = tmp_path_factory.mktemp("looks")
    store = LocalStore(place / "store")
    return store, make_dataset(store, place)


@pytest.fixture
def store(world: tuple[LocalStore, OpenDataset]) -> LocalStore:
    """The same store, with an empty log."""
    for key in [*world[0].list("looks/"), *world[0].list("claims/")]:
        world[0].remove(key)
    return world[0]


@pytest.fixture
def make_model(store: LocalStore, world: tuple[LocalStore, OpenDataset], tmp_path: Path) -> Callable[..., ModelRef]:
    return lambda **changes: publish_model(store, world[1].ref, tmp_path, **changes)


def _evaluate(store: LocalStore, model: ModelRef, work: Path, **changes: object) -> ReportRef:
    asked = {"model": model, "dataset": model.dataset, "n_bootstrap": 100, "analyses": False, **changes}
    job = EvaluateJob.model_validate(asked)
    with undrawn():
        return evaluation.run(job.model_dump(mode="json"), store=store, workdir=work, on_progress=ignore_progress)


def _planned(store: LocalStore, model: ModelRef) -> PlannedAccess:
    return PlannedAccess(name_test(store, model.dataset, model.fold), model.dataset, model.recipe, model.id)


def test_a_test_split_leaves_a_note_and_another_split_none(
    store: LocalStore, make_model: Callable[..., ModelRef], tmp_path: Path
) -> None:
    model, of_fold = make_model(seed=21), make_model(seed=21, fold=1)
    chosen = _evaluate(store, model, tmp_path, split="validation")
    assert read_metrics(store, chosen).subject.looks is None
    assert read_accesses(store) == []
    report = _evaluate(store, model, tmp_path, reason="a typing error in the recipe")
    record_access(EvaluateJob(model=of_fold, dataset=of_fold.dataset), store)
    notes = {look.test: look for look in read_accesses(store, "small")}
    assert set(notes) == {"test-1", "fold.1"}
    own = notes["test-1"]
    assert (own.recipe, own.model_id, own.report_key) == ("hand-made", model.id, report.key)
    assert own.reason == "a typing error in the recipe"
    assert read_accesses(store, "elsewhere") == []


def test_the_note_is_there_before_the_first_prediction(
    store: LocalStore, make_model: Callable[..., ModelRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation that dies has left its entry, and goes on as the same access."""
    model = make_model(seed=22)
    with monkeypatch.context() as broken:
        broken.setattr(evaluation, "_evaluate", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            _evaluate(store, model, tmp_path)
    before = read_accesses(store)
    assert [look.model_id for look in before] == [model.id]
    _evaluate(store, model, tmp_path)
    assert read_accesses(store) == before


def test_report_and_card_say_how_many_had_looked_before(
    store: LocalStore, make_model: Callable[..., ModelRef], tmp_path: Path
) -> None:
    for seed, recipe in ((31, "first"), (32, "first"), (33, "other")):
        model = make_model(seed=seed, recipe=recipe)
        record_access(EvaluateJob(model=model, dataset=model.dataset), store)
    report = _evaluate(store, make_model(seed=34, recipe="first"), tmp_path)
    assert read_metrics(store, report).subject.looks == AccessCounts(same_recipe=2, any_recipe=3, overlapping=0)
    card = read_file(store, report, "card.md").decode()
    assert "measured on this test split before: 3, of which 2 of the recipe `first`" in card
    assert "share images" not in card
    fresh = _evaluate(store, make_model(seed=31, fold=0), tmp_path)
    card = read_file(store, fresh, "card.md").decode()
    assert "No other model had been measured on this test split before." in card
    assert "share images" not in card


def test_accesses_to_folds_count_for_the_frozen_test_only_where_they_held_its_images(
    store: LocalStore, world: tuple[LocalStore, OpenDataset], make_model: Callable[..., ModelRef], tmp_path: Path
) -> None:
    dataset = world[1]
    frozen = set(dataset.split("test")["isic_id"])
    for fold, seed in ((0, 35), (0, 36), (1, 35)):
        assert not frozen & set(dataset.for_fold(fold).split("test")["isic_id"])
        model = make_model(seed=seed, fold=fold)
        before = record_access(EvaluateJob(model=model, dataset=model.dataset), store)
        assert before.overlapping == 0  # folds share nothing with each other
    job = EvaluateJob(model=model, dataset=model.dataset)
    assert record_access(EvaluateJob(model=make_model(seed=38), dataset=model.dataset), store).overlapping == 0
    (key,) = store.list(f"looks/{job.dataset.name}/fold.1/")
    entry = json.loads(store.read(key))
    assert entry.pop("is_apart")
    store.remove(key)
    store.create(key, canonical_json(entry))  # as versions before wrote it, whose folds were made of all images
    report = _evaluate(store, make_model(seed=37), tmp_path)
    assert read_metrics(store, report).subject.looks == AccessCounts(same_recipe=1, any_recipe=1, overlapping=1)
    card = read_file(store, report, "card.md").decode()
    assert "On other test splits that may share images with it, models measured: 1." in card
    assert check_wording(card) == ()


def test_a_second_look_of_the_same_recipe_is_refused(
    store: LocalStore, make_model: Callable[..., ModelRef], tmp_path: Path
) -> None:
    old, new = make_model(seed=41, fold=2), make_model(seed=42, fold=2)
    check_first_access(store, [_planned(store, old), _planned(store, new)])  # planned together: two seeds
    record_access(EvaluateJob(model=old, dataset=old.dataset), store)
    check_first_access(store, [_planned(store, old)])
    check_first_access(store, [_planned(store, old), _planned(store, new)])
    with pytest.raises(
        ConfigError, match=rf"were measured before: {old.id} on fold\.2 of small at .* say again=True"
    ):
        check_first_access(store, [_planned(store, new)])
    check_first_access(store, [_planned(store, make_model(seed=42, fold=3))])
    check_first_access(store, [_planned(store, make_model(seed=42, fold=2, recipe="renamed"))])


def test_a_model_that_has_looked_takes_no_new_look(store: LocalStore, make_model: Callable[..., ModelRef]) -> None:
    one, other = make_model(seed=43, fold=2), make_model(seed=44, fold=2)
    for model in (one, other):
        record_access(EvaluateJob(model=model, dataset=model.dataset), store)
    check_first_access(store, [_planned(store, one)])  # though the other one looked, too
    late = make_model(seed=45, fold=2)
    with pytest.raises(ConfigError, match=rf"were measured before: {other.id} on fold\.2"):
        check_first_access(store, [_planned(store, one), _planned(store, late)])


def test_who_planned_the_first_look_and_comes_second_is_refused(
    store: LocalStore, make_model: Callable[..., ModelRef], tmp_path: Path
) -> None:
    """Between plan and look lie hours of training, in which another version may have looked."""
    mine, seed, theirs = (make_model(seed=number, fold=2) for number in (46, 47, 48))
    together = (mine.id, seed.id)
    for plan in ([mine, seed], [theirs]):
        check_first_access(store, [_planned(store, model) for model in plan])
    _evaluate(store, mine, tmp_path, companions=together)
    _evaluate(store, seed, tmp_path, companions=together)
    before = read_accesses(store)
    with pytest.raises(ConfigError, match=rf"were measured before: {mine.id} .* say again=True"):
        _evaluate(store, theirs, tmp_path, companions=(theirs.id,))
    assert read_accesses(store) == before  # it was refused before it looked
    _evaluate(store, mine, tmp_path, companions=together, n_bootstrap=101)
    _evaluate(store, theirs, tmp_path, reason="asked again")
    _evaluate(store, mine, tmp_path, companions=together, n_bootstrap=102)  # has looked already
    own, newer = make_model(seed=46), make_model(seed=47)
    for model in (own, newer):  # as the pipeline does: without companions, every version looks at the frozen test
        _evaluate(store, model, tmp_path)
    assert len({look.model_id for look in read_accesses(store, "small", "test-1")}) == 2


def test_of_two_versions_that_both_find_the_log_empty_one_is_measured(
    store: LocalStore, make_model: Callable[..., ModelRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [make_model(seed=number, fold=2) for number in (61, 62)]
    both_have_looked = threading.Barrier(2, timeout=20)

    def check(*arguments: Any, **more: Any) -> None:
        check_first_access(*arguments, **more)
        both_have_looked.wait()

    monkeypatch.setattr(test_access, "check_first_access", check)

    def measure(model: ModelRef) -> str:
        try:
            record_access(EvaluateJob(model=model, dataset=model.dataset, companions=(model.id,)), store)
        except ConfigError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        refusals = list(pool.map(measure, models))
    assert sorted(map(bool, refusals)) == [False, True]
    winner = models[refusals.index("")]
    assert f"were measured before: {winner.id} on fold.2" in max(refusals)
    assert {entry.model_id for entry in read_accesses(store)} == {winner.id}


def test_an_experiment_may_grow_and_shrink_after_its_claim(
    store: LocalStore, make_model: Callable[..., ModelRef]
) -> None:
    one, two, three = (make_model(seed=number, fold=2) for number in (63, 64, 65))
    for companions, measured in (((one, two), one), ((one,), one), ((one, two, three), three)):
        ids = tuple(model.id for model in companions)
        record_access(EvaluateJob(model=measured, dataset=measured.dataset, companions=ids), store)
    other = make_model(seed=66, fold=2)
    with pytest.raises(ConfigError, match="say again=True"):
        record_access(EvaluateJob(model=other, dataset=other.dataset, companions=(other.id,)), store)
    store.write("claims/small/fold.2/" + next(iter(store.list("claims/"))).rpartition("/")[2], b"{}")
    with pytest.raises(ArtifactCorrupt, match="restore it from a backup"):
        record_access(EvaluateJob(model=other, dataset=other.dataset, companions=(other.id,)), store)


def test_the_log_keeps_the_first_time(store: LocalStore, make_model: Callable[..., ModelRef]) -> None:
    model = make_model(seed=51)
    job = EvaluateJob(model=model, dataset=model.dataset)
    first = datetime.datetime(2025, 3, 1, tzinfo=datetime.UTC)
    record_access(job, store, clock=lambda: first)
    record_access(job, store, clock=lambda: first + datetime.timedelta(days=1))
    assert [look.at for look in read_accesses(store)] == ["2025-03-01T00:00:00+00:00"]


def test_a_damaged_or_moved_note_is_not_overlooked(store: LocalStore, make_model: Callable[..., ModelRef]) -> None:
    model = make_model(seed=52)
    record_access(EvaluateJob(model=model, dataset=model.dataset), store)
    (key,) = store.list("looks/")
    note = AccessEntry.model_validate_json(store.read(key)).model_dump(mode="json")
    store.write(key, json.dumps({**note, "test": "fold.4"}).encode())
    with pytest.raises(ArtifactCorrupt, match=r"one at fold\.4 of small"):
        read_accesses(store)
    store.write(key, b"{}")
    with pytest.raises(ArtifactCorrupt, match="restore it from a backup"):
        read_accesses(store)
