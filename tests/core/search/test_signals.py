"""What the words between a study and its trials cost at a server, counted; time is made up."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lesion_core.progress import Progress
from lesion_core.recipes.recipe import Recipe
from lesion_core.refs import DatasetRef
from lesion_core.search import course, signals
from lesion_core.search.pace import LONGEST_SECONDS, POLL_SECONDS, Pace
from lesion_core.search.trial_spec import TrialJob, TrialOrder, TrialOutcome
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from lesion_core.types import StoreKey
from tests.core.search.studies import keep, make_plan

EPOCH_SECONDS, N_EPOCHS = 30.0, 10


class ServerStore(LocalStore):
    """A store without local files, as a server's is; counts what it is asked for by method."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: Counter[str] = Counter()

    @property
    def root(self) -> None:
        """None."""

    def list(self, prefix: str) -> Iterator[StoreKey]:
        self.asked["list"] += prefix.startswith("signals/")
        return super().list(prefix)

    def stat(self, key: StoreKey) -> object:
        self.asked["stat"] += key.startswith("signals/")
        return super().stat(key)

    def read(self, key: StoreKey) -> bytes:
        self.asked["read"] += key.startswith("signals/")
        return super().read(key)


class Clock:
    """Seconds that pass when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def order(dataset_ref: DatasetRef) -> TrialOrder:
    recipe = Recipe.model_validate({"name": "counted", "weights": "none"})
    job = TrialJob(recipe=recipe, dataset=dataset_ref)
    return TrialOrder(study="counted", number=0, channel=0, job=job, n_epochs=N_EPOCHS, is_judged=True)


def conduct(store: LocalStore, make_recipe: Callable[..., Recipe], dataset: DatasetRef, work: Path) -> list[float]:
    """One trial of ten epochs of half a minute; return how late the study heard of each epoch but the last."""
    clock = Clock()
    plan = make_plan(make_recipe(optimisation={"epochs": N_EPOCHS}), dataset, n_trials=2, startup_trials=1)
    late: list[float] = []

    def start(order: TrialOrder) -> course.Ask:
        began, written = clock.now, 0

        def ask() -> TrialOutcome | None:
            nonlocal written
            n_done = int((clock.now - began) / EPOCH_SECONDS)
            for epoch in range(written + 1, n_done + 1):
                word = signals.signal_key(order.study, order.channel, "epoch", epoch)
                store.write(word, f'{{"epoch": {epoch}, "score": 0.{epoch}}}'.encode())
            written = n_done
            for epoch in range(1, n_done + 1):
                verdict = store._root / signals.signal_key(order.study, order.channel, "verdict", epoch)
                if verdict.exists() and (order.number, epoch) not in heard:
                    heard.add((order.number, epoch))
                    late.append(clock.now - began - epoch * EPOCH_SECONDS)
            if n_done < N_EPOCHS:
                return None
            return TrialOutcome(trial=keep(store, order, [epoch / 10 for epoch in range(1, N_EPOCHS + 1)]))

        heard: set[tuple[int, int]] = set()
        return ask

    settings = LesionSettings(store="unused", work=work, trials_at_once=1)
    course.conduct(plan, store=store, settings=settings, start=start, clock=clock, sleep=clock.sleep)
    return late


def test_a_study_asks_a_server_seldom_and_hears_every_epoch_soon(
    make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef, tmp_path: Path
) -> None:
    server = ServerStore(tmp_path / "server")
    late = conduct(server, make_recipe, dataset_ref, tmp_path / "work")
    seconds = 2 * N_EPOCHS * EPOCH_SECONDS
    assert server.asked["list"] <= 0.4 * seconds  # it was one every 0.3 s
    assert server.asked["read"] == 2 * (N_EPOCHS - 1)  # each word once; the last epoch's is in the trial's history
    assert len(late) == N_EPOCHS - 1  # the recipe's own trial is not judged
    assert max(late) <= LONGEST_SECONDS + 2 * POLL_SECONDS


def test_a_directory_is_looked_at_all_the_time(
    make_recipe: Callable[..., Recipe], dataset_ref: DatasetRef, tmp_path: Path
) -> None:
    late = conduct(LocalStore(tmp_path / "directory"), make_recipe, dataset_ref, tmp_path / "work")
    assert max(late) <= 2 * POLL_SECONDS


def test_a_trial_asks_a_server_seldom_for_its_verdict(order: TrialOrder, tmp_path: Path) -> None:
    server, clock = ServerStore(tmp_path), Clock()
    reporter = signals.Reporter(order, server, lambda news: None, clock=clock, sleep=clock.sleep)
    reporter(Progress(stage="training", done=1, metrics={"epoch": 1, "selection_score": 0.5}))
    assert clock.now > 120  # nobody answered
    assert server.asked["read"] < 35  # it was one every 0.3 s: 400
    assert server.asked["stat"] < 30  # its own word, and the study's end: it was as many again


def test_a_trial_asks_a_server_seldom_whether_its_study_goes_on(order: TrialOrder, tmp_path: Path) -> None:
    server, clock = ServerStore(tmp_path), Clock()
    reporter = signals.Reporter(order, server, lambda news: None, clock=clock, sleep=clock.sleep)
    for step in range(600):  # a line of progress each tenth of a second
        reporter(Progress(stage="training", done=step))
        clock.sleep(0.1)
    assert 12 <= server.asked["stat"] <= 13
    signals.halt(server, order)
    clock.sleep(LONGEST_SECONDS)
    with pytest.raises(signals.StudyEnded):
        reporter(Progress(stage="training", done=600))


def test_the_pause_grows_by_half_and_news_shorten_it(tmp_path: Path) -> None:
    clock = Clock()
    pace = Pace(ServerStore(tmp_path), clock)
    assert pace.is_due
    assert [pace.looked(has_news=False) for _ in range(9)] == pytest.approx(
        [0.3, 0.45, 0.675, 1.0125, 1.51875, 2.278125, 3.4171875, 5, 5]
    )
    assert not pace.is_due
    clock.sleep(5)
    assert pace.is_due
    assert pace.looked(has_news=True) == POLL_SECONDS
