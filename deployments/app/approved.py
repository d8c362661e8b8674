"""The approved model, loaded and kept current: a newly approved one is served without a restart."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lesion_core.errors import LesionError, ModelNotReady, StoreUnavailable
from lesion_core.refs import ModelRef
from lesion_core.registry.channels import ChannelState, read_channel
from lesion_core.serving import wording
from lesion_core.serving.predictor import Predictor
from lesion_core.serving.wording import Approval, MeasuredLimits
from lesion_core.stores.folders import materialise
from lesion_core.stores.protocol import Store

CHANNEL = "approved"
LimitsReader = Callable[[Store, ModelRef], MeasuredLimits | None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A model in service with all that is said about it."""

    predictor: Predictor
    approval: Approval
    limits: MeasuredLimits | None
    synthetic: bool


class ApprovedModel:
    """What the channel ``approved`` points at, as a loaded predictor; safe to share between threads.

    The channel is read before every answer, so that a model that was withdrawn never answers again, and by a
    thread in the background, so that the answer after an approval need not wait for the loading.

    Args:
        store: Where channels and models live.
        cache: Local folder for verified copies of stored models.
        read_limits: Finds what was measured on a model.
        poll_seconds: Time between two looks in the background.
        threads: Threads of one prediction; 0 means all cores.
        clock: Seconds from any beginning.
    """

    def __init__(
        self,
        store: Store,
        cache: Path,
        read_limits: LimitsReader,
        *,
        poll_seconds: float,
        threads: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cache = cache
        self._read_limits = read_limits
        self._poll_seconds = poll_seconds
        self._threads = threads
        self._lock = threading.Lock()
        self._tag: str | None = None
        self._served: Served | None = None
        self._clock = clock
        self._quiet_until = 0.0
        self._stopped = threading.Event()
        self._watcher: threading.Thread | None = None

    def current(self) -> Served:
        """Return the model that is approved now.

        Where the store does not answer, that is the last one known.

        Raises:
            ModelNotReady: None is approved, or it cannot be loaded; the message is for the page's user.
        """
        with self._lock:
            if self._served is not None and self._clock() < self._quiet_until:
                return self._served
            try:
                state, tag = read_channel(self._store, CHANNEL)
            except StoreUnavailable as error:
                return self._last_known(error)
            except LesionError as error:
                raise ModelNotReady(f"{wording.NOT_READY_STORE} ({error})") from error
            if state is None:
                self._served, self._tag = None, None
                raise ModelNotReady(wording.NOT_READY)
            if self._served is None or tag != self._tag:
                self._served, self._tag = self._load(state), tag
            return self._served

    def _last_known(self, error: StoreUnavailable) -> Served:
        """Go on with the model in memory, and leave the store alone for a while: asking it takes long."""
        if self._served is None:
            raise ModelNotReady(f"{wording.NOT_READY_STORE} ({error})") from error
        self._quiet_until = self._clock() + self._poll_seconds
        log.warning("the store does not answer; %s goes on serving: %s", self._served.approval.model_id, error)
        return self._served

    def start(self) -> None:
        """Begin to look for newly approved models in the background."""
        self._stopped.clear()
        self._watcher = threading.Thread(target=self._watch, name="approved-model", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End the background thread; returns when it has ended."""
        self._stopped.set()
        if self._watcher is not None:
            self._watcher.join()

    def _watch(self) -> None:
        logged = ""
        while not self._stopped.is_set():
            try:
                logged = self.current().approval.model_id
                self._look_for_limits()
            except ModelNotReady as error:
                if str(error) != logged:
                    log.info("%s", error)
                logged = str(error)
            except Exception:
                log.exception("looking for the approved model failed; trying again")
            self._stopped.wait(self._poll_seconds)

    def _load(self, state: ChannelState) -> Served:
        """Load what the channel points at; the model before it is no longer approved and must not answer."""
        model = state.model
        if self._served is not None and self._served.approval.model_id == model.id:
            predictor = self._served.predictor
        else:
            predictor = self._open(model)
        approval = Approval(model_id=model.id, approver=state.approver, at=str(state.at), reason=state.reason)
        return Served(
            predictor=predictor,
            approval=approval,
            limits=self._limits(model),
            synthetic=model.synthetic or predictor.folder.provenance.synthetic,
        )

    def _look_for_limits(self) -> None:
        """Read the report on the served model, where there was none when it was loaded."""
        with self._lock:
            served = self._served
            if served is not None and served.limits is None:
                state, _ = read_channel(self._store, CHANNEL)
                if state is not None and state.model.id == served.approval.model_id:
                    self._served = replace(served, limits=self._limits(state.model))

    def _open(self, model: ModelRef) -> Predictor:
        self._served = None
        try:
            folder = materialise(self._store, model, self._cache)
            predictor = Predictor.load(folder, model_id=model.id, threads=self._threads)
        except LesionError as error:
            log.error("the approved model %s cannot be loaded: %s", model.id, error)
            raise ModelNotReady(wording.cannot_load(model.id, str(error))) from error
        log.info("serving %s", model.id)
        return predictor

    def _limits(self, model: ModelRef) -> MeasuredLimits | None:
        try:
            return self._read_limits(self._store, model)
        except LesionError as error:
            log.warning("no report on %s can be read: %s", model.id, error)
            return None
