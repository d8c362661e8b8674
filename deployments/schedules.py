"""The deployments that run by themselves: what they ask for, whether they are switched on, and when they run next."""

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from pydantic import Field, ValidationError

from lesion_core.errors import ConfigError
from lesion_core.isic.source import ArchiveSource
from lesion_core.recipes.recipe import Recipe, choose_recipe
from lesion_core.settings import LesionSettings
from lesion_core.types import JsonDict, Value

ISIC_2019_TRAINING = 65  # collection "Challenge 2019: Training", 25,331 images
TAG = "scheduled"
_OURS = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
_PATIENCE_SECONDS = 120.0  # the server looks every five seconds; a busy one takes longer
_POLL_SECONDS = 0.5


class ScheduledWork(Value):
    """What scheduled runs ask for, and whether a schedule that is new here is switched on."""

    source: ArchiveSource = Field(description="Which images")
    recipe: Recipe | str = Field(default="isic-quick", description="What is trained: a recipe, or its name")
    active: bool = Field(default=True, description="Whether new schedules are on; those that exist stay as they are")

    def parameters(self, settings: LesionSettings) -> dict[str, JsonDict]:
        """Return the parameters of each scheduled deployment by its name.

        Raises:
            ConfigError: The recipe is not found, or cannot be used.
        """
        source = self.source.model_dump(mode="json", exclude_defaults=True)
        chosen = choose_recipe(self.recipe, settings.recipes)
        recipe = self.recipe if isinstance(self.recipe, str) else self.recipe.model_dump(mode="json")
        return {
            "retrain-weekly": {"source": source, "recipe": recipe},
            "monitor-daily": {"source": source, "name": chosen.dataset},
        }


def own_source(settings: LesionSettings) -> ArchiveSource:
    """Return what scheduled runs want of a deployment's archive: ISIC 2019's training set, or all of a mirror."""
    public = LesionSettings.model_fields["archive_url"].default
    is_public = settings.archive_url.rstrip("/") == str(public).rstrip("/")
    return ArchiveSource(collections=(ISIC_2019_TRAINING,) if is_public else ())


def scheduled_work(settings: LesionSettings, source: str, recipe: str, *, active: bool) -> ScheduledWork:
    """Return the scheduled work that a command line describes.

    Args:
        settings: The deployment's.
        source: A source in JSON; empty for the deployment's own archive.
        recipe: Name of a recipe, or a YAML file, which is read now.
        active: Whether new schedules are on.

    Raises:
        ConfigError: The source is no JSON of a source, or the file no recipe.
    """
    try:
        wanted = ArchiveSource.model_validate_json(source) if source else own_source(settings)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'source'}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(
            f'expected --source as JSON such as {{"collections": [65], "limit": 2000}}, got {source!r}: {problems}'
        ) from error
    is_file = recipe.endswith((".yaml", ".yml"))
    return ScheduledWork(
        source=wanted, recipe=choose_recipe(recipe, settings.recipes) if is_file else recipe, active=active
    )


def with_schedules(
    deployments: Mapping[str, Any], parameters: Mapping[str, JsonDict], *, states: Mapping[str, bool], active: bool
) -> JsonDict:
    """Return the contents of ``prefect.yaml`` with the scheduled deployments' parameters and switches filled in.

    Args:
        deployments: The file as it is read.
        parameters: Parameters by the name of the deployment.
        states: Whether the schedule of a deployment that exists on the server is on, by name.
        active: Whether the others are.
    """
    return {
        **deployments,
        "deployments": [_filled(entry, parameters, states, active) for entry in deployments["deployments"]],
    }


def _filled(
    entry: JsonDict, parameters: Mapping[str, JsonDict], states: Mapping[str, bool], active: bool
) -> JsonDict:
    name = entry["name"]
    if "schedules" not in entry:
        return entry
    is_on = states.get(name, active)
    return {
        **entry,
        "parameters": {**entry.get("parameters", {}), **parameters.get(name, {})},
        "schedules": [{**schedule, "active": is_on} for schedule in entry["schedules"]],
    }


def read_states(client: SyncPrefectClient) -> dict[str, bool]:
    """Return whether any schedule is on, for each scheduled deployment of the server, by name."""
    found = _scheduled_deployments(client)
    return {item.name: any(schedule.active for schedule in item.schedules) for item in found if item.schedules}


class ScheduleState(Value):
    """One schedule as the server has it."""

    deployment: str = Field(description="flow/deployment")
    when: str = Field(description="Cron expression and time zone")
    active: bool
    next_run: datetime.datetime | None = Field(description="Expected start of the next run that exists on the server")

    def in_words(self) -> str:
        """Return the state in one line."""
        if not self.active:
            return f"{self.deployment:<24} {self.when:<16} off"
        when = "no run exists" if self.next_run is None else f"next run {self.next_run:%Y-%m-%d %H:%M %Z}"
        return f"{self.deployment:<24} {self.when:<16} on, {when}"


def read_schedules() -> list[ScheduleState]:
    """Return the schedules of the server that ``PREFECT_API_URL`` names, with the runs that exist ahead of time."""
    with get_client(sync_client=True) as client:
        deployments = _scheduled_deployments(client)
        flows = {item.flow_id: client.read_flow(item.flow_id).name for item in deployments}
        is_ahead = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        runs = client.read_flow_runs(deployment_filter=_OURS, flow_run_filter=FlowRunFilter(state=is_ahead))
    return [state for item in deployments for state in _states_of(item, flows[item.flow_id], runs)]


def switch(on: bool) -> list[ScheduleState]:
    """Switch every schedule on or off, and return their states once the server has acted on it.

    Raises:
        ConfigError: The server has no schedules, or created no run for one that is on.
    """
    with get_client(sync_client=True) as client:
        found = _scheduled_deployments(client)
        for deployment in found:
            for schedule in deployment.schedules:
                client.update_deployment_schedule(deployment.id, schedule.id, active=on)
            plan_soon(client, deployment)
    if not found:
        raise ConfigError(
            "expected scheduled deployments on the Prefect server, found none; run `lesion deploy` first"
        )
    return _await_runs(on)


def plan_soon(client: SyncPrefectClient, deployment: DeploymentResponse) -> None:
    """Have the server create a deployment's scheduled runs within seconds.

    It looks at every deployment once a minute, and every five seconds at those that were changed themselves; a
    changed schedule is no such change (Prefect 3.8, ``server/services/scheduler.py``).
    """
    client.update_deployment(deployment.id, DeploymentUpdate(description=deployment.description))


def _await_runs(on: bool) -> list[ScheduleState]:
    """Wait for what a switch is for: a server may take it and create no run, and only its log would tell."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        states = read_schedules()
        late = [state.deployment for state in states if on and state.next_run is None]
        if not late:
            return states
        if time.monotonic() > deadline:
            raise ConfigError(
                f"expected the Prefect server to create the next runs of {', '.join(late)}, found none after "
                f"{_PATIENCE_SECONDS:.0f} s; its log says why (look for 'scheduler')"
            )
        time.sleep(_POLL_SECONDS)


def _states_of(deployment: DeploymentResponse, flow: str, runs: Sequence[FlowRun]) -> Iterator[ScheduleState]:
    ahead = [
        run.expected_start_time
        for run in runs
        if run.deployment_id == deployment.id and run.auto_scheduled and run.expected_start_time is not None
    ]
    for schedule in deployment.schedules:
        yield ScheduleState(
            deployment=f"{flow}/{deployment.name}",
            when=_when(schedule),
            active=bool(schedule.active),
            next_run=min(ahead, default=None),
        )


def _when(schedule: DeploymentSchedule) -> str:
    if isinstance(schedule.schedule, CronSchedule):
        return f"{schedule.schedule.cron} {schedule.schedule.timezone or 'UTC'}"
    return str(schedule.schedule)


def _scheduled_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    return client.read_deployments(deployment_filter=_OURS)
