"""Runs exist ahead of time on a server whose database is Postgres."""

from pathlib import Path

from deployments.stack import local
from deployments.stack.waiting import wait_for
from tests.flows.test_schedules import DEPLOYMENTS, states
from tests.logs import LogWatch


def test_runs_exist_ahead_of_time_on_postgres(tmp_path: Path, postgres: str) -> None:
    """As outside a local stack: `lesion deploy` on a server of one's own leaves the schedules on."""
    addresses = local.Addresses(local.free_port(0), local.free_port(0), local.free_port(0))
    variables = {
        **local.environment(tmp_path, addresses, addresses.mirror),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.replace("+psycopg:", "+asyncpg:"),
    }
    stack = local.Stack(tmp_path, variables)
    api = variables["PREFECT_API_URL"]
    try:
        port = str(addresses.prefect_port)
        stack.start("prefect-server", "prefect", "server", "start", "--host", local.HOST, "--port", port)
        stack.wait_until("prefect-server", lambda: local.answers(f"{api}/health"))
        stack.run("deploy", "deployments.cli", "deploy")
        all_ahead = wait_for(
            lambda: all(state.next_run is not None for state in states(api).values()), seconds=60, pause_seconds=0.5
        )
        assert all_ahead, "the server creates no runs"
        found = states(api)
    finally:
        stack.stop()
    assert sorted(found) == sorted(DEPLOYMENTS)
    assert all(state.active for state in found.values())
    assert LogWatch(tmp_path / "logs").news() == {}
    assert not (tmp_path / "prefect" / "prefect.db").exists()
