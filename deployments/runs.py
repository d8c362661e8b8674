"""Start a deployment through Prefect's API and follow it to its end, however long that takes."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from deployments.following.news import ENDED, RunNews, read_news
from deployments.following.screen import NoScreen, Screen
from deployments.following.silence import Silence, explain
from deployments.stack.clients import DIRECT, own_settings
from lesion_core.errors import LesionError

StageCallback = Callable[[str, float], None]
_POLL_SECONDS = 1.0
_SECONDS_TO_END = 5.0  # for the tasks of a run that ended
SECONDS_UNANSWERED = 90.0  # after which the server counts as gone


def run_and_follow(
    server: str,
    deployment: str,
    parameters: Mapping[str, Any],
    *,
    on_stage: StageCallback = lambda name, seconds: None,
    screen: Screen | None = None,
    timeout_seconds: float | None = None,
) -> FlowRun:
    """Start a deployment and wait until its run ends.

    There is no limit on the time: a training may take days. Where nothing moves for a while, the screen says what the
    run waits for.

    Args:
        server: Address of the Prefect server, without ``/api``.
        deployment: ``flow/deployment``.
        parameters: JSON-serialisable flow parameters.
        on_stage: Called with the task's name and its seconds as each task run completes.
        screen: Shows the run's tasks and their progress; ``None`` shows nothing.
        timeout_seconds: Longest time to wait, where the caller wants one.

    Raises:
        LesionError: The run failed, crashed or was cancelled (the message holds Prefect's own), the server does not
            answer any more, or the caller's time is up.
    """
    with own_settings(server), screen or NoScreen() as shown:
        following = _Following(server, deployment, shown, on_stage)
        return asyncio.run(following.run(parameters, timeout_seconds))


class _Following:
    """One run that is watched."""

    def __init__(self, server: str, deployment: str, screen: Screen, on_stage: StageCallback) -> None:
        self._server, self._deployment, self._screen, self._on_stage = server, deployment, screen, on_stage
        self._silence = Silence()
        self._reported: set[str] = set()

    async def run(self, parameters: Mapping[str, Any], timeout_seconds: float | None) -> FlowRun:
        async with get_client(httpx_settings=DIRECT) as client:
            found = await client.read_deployment_by_name(self._deployment)
            run = await client.create_flow_run_from_deployment(found.id, parameters=dict(parameters))
            deadline = time.monotonic() + (math.inf if timeout_seconds is None else timeout_seconds)
            ended: float | None = None
            while time.monotonic() < deadline:
                run, news = await self._read(client, run)
                self._screen.show(news)
                self._tell_stages(news)
                await self._tell_silence(client, run, news)
                if run.state is not None and run.state.is_final():
                    ended = ended or time.monotonic()
                    if _all_have_ended(news) or time.monotonic() - ended > _SECONDS_TO_END:
                        return _completed(run, self._deployment)
                await asyncio.sleep(_POLL_SECONDS)
        raise LesionError(
            f"{self._deployment} did not end within {timeout_seconds:.0f} s; see run {run.name} in the Prefect UI"
        )

    async def _read(self, client: PrefectClient, run: FlowRun) -> tuple[FlowRun, RunNews]:
        """Return the run and its tasks; asks again while requests fail, until the server counts as gone."""
        since = time.monotonic()
        while True:
            try:
                return await asyncio.wait_for(_look(client, run), SECONDS_UNANSWERED)
            except ObjectNotFound as error:
                raise LesionError(f"run {run.name} of {self._deployment} is no longer on the server") from error
            except Exception as error:  # whatever a client, a network or a server may raise
                self._check_answered(since, error, run)
            await asyncio.sleep(_POLL_SECONDS)

    async def _tell_silence(self, client: PrefectClient, run: FlowRun, news: RunNews) -> None:
        if (quiet := self._silence.note(news)) is None:
            return
        try:
            self._screen.say(await explain(client, run, news, quiet))
        except Exception as error:  # the run goes on, whatever cannot be asked about it
            self._screen.say(
                f"nothing new for {quiet:.0f} s; why cannot be determined ({type(error).__name__}: {error})"
            )

    def _tell_stages(self, news: RunNews) -> None:
        for task in news.tasks:
            if task.status == "done" and task.id not in self._reported:
                self._reported.add(task.id)
                self._on_stage(task.task, task.seconds)

    def _check_answered(self, since: float, error: Exception, run: FlowRun) -> None:
        """Pass over a request that failed; fail where none has succeeded for a while."""
        unanswered = time.monotonic() - since
        if unanswered >= SECONDS_UNANSWERED:
            raise LesionError(
                f"expected the Prefect server at {self._server} to answer, it has not for {unanswered:.0f} s "
                f"({type(error).__name__}: {error}); see logs/prefect-server.log in the stack's folder. What run "
                f"{run.name} has finished is in the store: the same command goes on from there",
                flow_run=str(run.id),
            ) from error


async def _look(client: PrefectClient, run: FlowRun) -> tuple[FlowRun, RunNews]:
    """Read the run, first its state: what its tasks say after it is final is their last word."""
    run = await client.read_flow_run(run.id)
    return run, await read_news(client, run)


def _all_have_ended(news: RunNews) -> bool:
    """Say whether every task of a run that ended says so too: the server learns of it a moment later."""
    return all(task.status in ENDED for task in news.tasks)


def _completed(run: FlowRun, deployment: str) -> FlowRun:
    assert run.state is not None
    if not run.state.is_completed():
        raise LesionError(f"{deployment} ended as {run.state.name}: {run.state.message}", flow_run=str(run.id))
    return run
