"""What passes between a running trial and its study: through the store, because nothing else do they surely share.

A trial may run in a thread of the study's process, or on a machine of a cluster. After each epoch its side writes
down the score; the study's side answers with a verdict, go on or stop. Each word is an object of its own, made once.
An epoch's word outlives both processes, so a study that was killed reads on where it had stopped reading.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lesion_core.errors import ArtifactNotFound, TrialStopped
from lesion_core.keys import signal_key, signals_prefix
from lesion_core.search.trial_spec import TrialOrder
from lesion_core.stores.protocol import Store
from lesion_core.types import Progress, ProgressCallback

POLL_SECONDS = 0.3
# A study answers within a moment. One that is silent for so long is dead or cut off, and the trial goes on without
# it: what it leaves in the store is found by the study when that is started again.
_PATIENCE_SECONDS = 120.0


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

    def __call__(self, news: Progress) -> None:
        """Take one line of news.

        Raises:
            TrialStopped: The study gave this trial up.
        """
        self.on_progress(news)
        epoch, score = int(news.metrics.get("epoch", 0)), news.metrics.get("selection_score")
        if score is None or epoch <= self.last:
            return
        self.last = epoch
        key = signal_key(self.order.study, self.order.channel, "epoch", epoch)
        if self.store.stat(key) is None:
            self.store.write(key, json.dumps({"epoch": epoch, "score": score}).encode())
        if self.order.is_judged and epoch < self.order.n_epochs:
            self._await_verdict(epoch)

    def _await_verdict(self, epoch: int) -> None:
        """Wait for the study's word; the child trains on meanwhile."""
        key = signal_key(self.order.study, self.order.channel, "verdict", epoch)
        deadline = self.clock() + self.patience_seconds
        while (answer := _read(self.store, key)) is None:
            if self.clock() > deadline:
                return
            self.sleep(POLL_SECONDS)
        if answer["stop"]:
            raise TrialStopped(f"trial {self.order.number} was given up after epoch {epoch}", epoch=epoch)


def read_epochs(store: Store, order: TrialOrder) -> dict[int, float]:
    """Return the score of each epoch that a trial has written down, by epoch from 1."""
    found: dict[int, float] = {}
    for key in store.list(signals_prefix(order.study, order.channel)):
        if PurePosixPath(key).name.startswith("epoch-") and (word := _read(store, key)) is not None:
            found[int(word["epoch"])] = float(word["score"])
    return dict(sorted(found.items()))


def answer(store: Store, order: TrialOrder, epoch: int, *, stop: bool) -> None:
    """Write down the study's verdict on an epoch."""
    key = signal_key(order.study, order.channel, "verdict", epoch)
    store.write(key, json.dumps({"stop": stop}).encode())


def forget_verdicts(store: Store, order: TrialOrder) -> None:
    """Take back what was said to a trial, so that it can be judged anew."""
    _remove(store, order, "verdict-")


def forget(store: Store, order: TrialOrder) -> None:
    """Remove every word between a study and a trial that is over."""
    _remove(store, order, "")


def _remove(store: Store, order: TrialOrder, prefix: str) -> None:
    for key in list(store.list(signals_prefix(order.study, order.channel))):
        if PurePosixPath(key).name.startswith(prefix):
            store.remove(key)


def _read(store: Store, key: str) -> dict[str, float] | None:
    try:
        word: dict[str, float] = json.loads(store.read(key))
    except ArtifactNotFound:
        return None
    return word
