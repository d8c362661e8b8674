"""What passes between a running trial and its study: through the store, because nothing else do they surely share.

A trial may run in a thread of the study's process, or on a machine of a cluster. After each epoch its side writes
down the score; the study's side answers with a verdict, go on or stop. Each word is an object of its own, made once.
An epoch's word outlives both processes, so a study that was killed reads on where it had stopped reading. A study
that ends before its trials, because it was cancelled or met an error, tells them to halt: they end and keep their
checkpoints, and go on from them when the study is run again.

Both sides ask again and again, at a server ever less often while nothing comes (``pace``). Where a study is kept in a
database, Optuna's storage could carry the scores, but it is not used for that: a trial would then need the database,
its password and Optuna wherever it runs, halts would still need a way of their own, and an epoch that is heard some
seconds later changes no verdict.
"""

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lesion_core.errors import ArtifactNotFound, StudyEnded, TrialStopped
from lesion_core.keys import signal_key, signals_prefix
from lesion_core.progress import Progress, ProgressCallback
from lesion_core.search.pace import LONGEST_SECONDS, Pace
from lesion_core.search.trial_spec import TrialOrder
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey

# A study answers within a moment. One that is silent for so long is dead or cut off, and the trial goes on without
# it: what it leaves in the store is found by the study when that is started again.
_PATIENCE_SECONDS = 120.0
_ANSWERS = ("verdict-", "halt-")  # what a study says begins so, what a trial says with "epoch-"


@dataclass(slots=True)
class Reporter:
    """The trial's side: passes progress on, writes down each epoch, and stops where the study says so.

    Attributes:
        order: The trial.
        store: Shared with the study.
        on_progress: Hears everything first.
        patience_seconds: How long an answer is waited for.
    """

    order: TrialOrder
    store: Store
    on_progress: ProgressCallback
    patience_seconds: float = _PATIENCE_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    last: int = 0  # the latest epoch that was written down
    _halts: Pace = field(init=False)  # that of the looks for the study's end

    def __post_init__(self) -> None:
        self._halts = Pace(self.store, self.clock, first_seconds=LONGEST_SECONDS)

    def __call__(self, news: Progress) -> None:
        """Take one line of news.

        Raises:
            TrialStopped: The study gave this trial up.
            StudyEnded: The study ended before this trial.
        """
        self.on_progress(news)
        epoch = int(news.metrics.get("epoch", 0))
        is_new = "selection_score" in news.metrics and epoch > self.last
        if is_new:
            self.last = epoch
            self._write_down(epoch, news.metrics["selection_score"])
        if epoch >= self.order.n_epochs:
            return  # all but done, so sooner stored than taken up again
        self._check_study()
        if is_new and self.order.is_judged:
            self._await_verdict(epoch)

    def _write_down(self, epoch: int, score: float) -> None:
        key = signal_key(self.order.study, self.order.channel, "epoch", epoch)
        if self.store.stat(key) is None:
            self.store.write(key, json.dumps({"epoch": epoch, "score": score}).encode())

    def _await_verdict(self, epoch: int) -> None:
        """Wait for the study's word; the child trains on meanwhile."""
        key = signal_key(self.order.study, self.order.channel, "verdict", epoch)
        deadline = self.clock() + self.patience_seconds
        pace = Pace(self.store, self.clock)
        while (answer := _read(self.store, key)) is None:
            self._check_study()
            if self.clock() > deadline:
                return
            self.sleep(pace.looked(has_news=False))
        if answer["stop"]:
            raise TrialStopped(f"trial {self.order.number} was given up after epoch {epoch}", epoch=epoch)

    def _check_study(self) -> None:
        """Look whether the study ended, where it is time to."""
        if self._halts.is_due:
            check_study(self.store, self.order)
            self._halts.looked(has_news=False)


def read_epochs(store: Store, order: TrialOrder, heard: Collection[int] = ()) -> dict[int, float]:
    """Return the score of each epoch that a trial has written down, by epoch from 1, without those in ``heard``."""
    found: dict[int, float] = {}
    known = {signal_key(order.study, order.channel, "epoch", epoch) for epoch in heard}
    for key in store.list(signals_prefix(order.study, order.channel)):
        if key in known or not PurePosixPath(key).name.startswith("epoch-"):
            continue
        if (word := _read(store, key)) is not None:
            found[int(word["epoch"])] = float(word["score"])
    return dict(sorted(found.items()))


def answer(store: Store, order: TrialOrder, epoch: int, *, stop: bool) -> None:
    """Write down the study's verdict on an epoch."""
    key = signal_key(order.study, order.channel, "verdict", epoch)
    store.write(key, json.dumps({"stop": stop}).encode())


def halt(store: Store, order: TrialOrder) -> None:
    """Tell a trial that its study ends before it."""
    store.write(_halt_key(order), b"{}")


def check_study(store: Store, order: TrialOrder) -> None:
    """Return where a trial's study goes on, as far as it said.

    Raises:
        StudyEnded: It said that it ends.
    """
    if store.stat(_halt_key(order)) is not None:
        raise StudyEnded(
            f"expected study {order.study} to go on, but it ended before its trial {order.number}; run it again, and "
            "the trial is taken up from its last checkpoint",
            study=order.study,
        )


def forget_earlier(store: Store, order: TrialOrder) -> None:
    """Remove what a trial that starts must not hear, and what its study must not take for its words.

    One that continues another keeps the epochs which that one wrote down. Under the number of a new one there may be
    words of an earlier study of the same name, whose journal is gone.
    """
    _remove(store, order, "" if order.channel == order.number else _ANSWERS)


def forget(store: Store, order: TrialOrder) -> None:
    """Remove every word between a study and a trial that is over."""
    _remove(store, order, "")


def _halt_key(order: TrialOrder) -> StoreKey:
    return signal_key(order.study, order.channel, "halt", 0)


def _remove(store: Store, order: TrialOrder, beginnings: str | tuple[str, ...]) -> None:
    for key in list(store.list(signals_prefix(order.study, order.channel))):
        if PurePosixPath(key).name.startswith(beginnings):
            store.remove(key)


def _read(store: Store, key: str) -> dict[str, float] | None:
    try:
        word: dict[str, float] = json.loads(store.read(key))
    except ArtifactNotFound:
        return None
    return word
