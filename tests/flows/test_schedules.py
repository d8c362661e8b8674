"""Schedules fire: runs exist ahead of time, and one that is due runs by itself to its end."""

import datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.schedules import ScheduleState, plan_soon, read_schedules
from deployments.stack.waiting import wait_for
from lesion_core.refs import ModelRef
from tests.flows.conftest import SCHEDULED, Running

DEPLOYMENTS = ("monitor/monitor-daily", "retrain/retrain-weekly")


def states(api: str) -> dict[str, ScheduleState]:
    with temporary_settings({PREFECT_API_URL: api}):
        return {state.deployment: state for state in read_schedules()}


def test_a_local_stack_starts_with_its_schedules_off_and_one_command_switches_them(running: Running) -> None:
    api = f"{running.addresses.prefect}/api"
    assert {name: state.active for name, state in states(api).items()} == dict.fromkeys(DEPLOYMENTS, False)

    switched = running.python("-m", "deployments.cli", "schedules", "--on")
    assert switched.returncode == 0, switched.stderr
    now = datetime.datetime.now(datetime.UTC)
    for name, state in states(api).items():
        assert state.next_run is not None
        assert now < state.next_run < now + datetime.timedelta(days=7)
        assert f"{state.next_run:%Y-%m-%d %H:%M}" in next(
            line for line in switched.stdout.splitlines() if line.startswith(name)
        )

    # Deploying again, as each start of the stack does, leaves the switch as a person set it.
    assert running.python("-m", "deployments.cli", "deploy", "--paused", *SCHEDULED).returncode == 0
    assert all(state.active for state in states(api).values())

    assert running.python("-m", "deployments.cli", "schedules", "--off").returncode == 0
    assert not any(state.active for state in states(api).values())


def test_scheduled_runs_that_are_due_run_by_themselves_and_complete(running: Running, approved: ModelRef) -> None:
    """On the stack's own archive, with the parameters that the deployments were given."""
    api = f"{running.addresses.prefect}/api"
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        made = {}
        for name in DEPLOYMENTS:
            deployment = client.read_deployment_by_name(name)
            # Again after three minutes, for a server that was too busy to create the first run in time.
            due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=15)
            schedule = IntervalSchedule(interval=datetime.timedelta(minutes=3), anchor_date=due)
            (created,) = client.create_deployment_schedules(deployment.id, [(schedule, True)])
            plan_soon(client, deployment)
            made[deployment.id] = created.id
        for deployment_id, schedule_id in made.items():
            run = wait_for_its_end(client, deployment_id)
            client.delete_deployment_schedule(deployment_id, schedule_id)
            assert run.state is not None
            assert run.state.is_completed(), run.state


def wait_for_its_end(client: SyncPrefectClient, deployment: UUID) -> FlowRun:
    """Return the first scheduled run of a deployment that ends."""
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))

    def runs() -> list[FlowRun]:
        return [run for run in client.read_flow_runs(deployment_filter=of_it) if run.auto_scheduled]

    def ended() -> list[FlowRun]:
        return [run for run in runs() if run.state is not None and run.state.is_final()]

    found = wait_for(ended, seconds=400, pause_seconds=0.5)
    assert found, f"no scheduled run ended: {[(run.name, run.state) for run in runs()]}"
    return found[0]
