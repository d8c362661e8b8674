"""What a Prefect server must hold before a flow can run: the work pool, the limits, the deployments."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from deployments.schedules import ScheduledWork, read_states, with_schedules
from lesion_core.certificates import OF_HTTPX, require_certificates
from lesion_core.errors import ConfigError
from lesion_core.settings import LesionSettings
from lesion_core.types import JsonDict
from tasks.policies import TRAINING_LIMIT, TRANSFER_LIMIT

POOL = "lesion"
PREFECT_FILE = Path(__file__).parent / "prefect.yaml"


def provision(work: ScheduledWork, trainings_at_once: int = 1) -> None:
    """Create the pool, the limits and every deployment of ``prefect.yaml``; repeating it changes nothing.

    A schedule that the server has already stays on or off as it is.

    Args:
        work: What scheduled runs ask for, and whether schedules that are new are on.
        trainings_at_once: Trainings that may run at once on this server.

    Raises:
        ConfigError: There is no server, it refuses this caller, or it refused a deployment; the message holds its
            own words. Or the recipe of the scheduled runs cannot be used.
    """
    parameters = work.parameters(LesionSettings())
    if not PREFECT_API_URL.value():
        raise ConfigError(
            "expected PREFECT_API_URL to name a Prefect server, got nothing; start one with `lesion up`"
        )
    if PREFECT_API_URL.value().startswith("https:"):
        require_certificates(OF_HTTPX)
    try:
        asyncio.run(_create_pool_and_limits(trainings_at_once))
    except PrefectHTTPStatusError as error:
        raise ConfigError(
            f"expected the Prefect server at {PREFECT_API_URL.value()} to take the work pool, got status "
            f"{error.response.status_code}; with 401, set PREFECT_API_AUTH_STRING to its user:password"
        ) from error
    with get_client(sync_client=True) as client:
        states = read_states(client)
    content = yaml.safe_load(PREFECT_FILE.read_text(encoding="utf-8"))
    _deploy(with_schedules(content, parameters, states=states, active=work.active))


def _deploy(content: JsonDict) -> None:
    """Hand the contents of a ``prefect.yaml`` to Prefect's own command."""
    with tempfile.TemporaryDirectory(prefix="lesion-deploy-") as folder:
        path = Path(folder) / PREFECT_FILE.name
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        outcome = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)],
            capture_output=True,
            text=True,
        )
    if outcome.returncode:
        raise ConfigError(f"prefect deploy failed:\n{outcome.stdout[-2000:]}{outcome.stderr[-2000:]}")


async def _create_pool_and_limits(trainings_at_once: int) -> None:
    async with get_client() as client:
        if (problem := await client.api_healthcheck()) is not None:
            raise ConfigError(
                f"expected a Prefect server at {PREFECT_API_URL.value()}, got: {problem!r}; start it, or correct "
                "PREFECT_API_URL"
            )
        template = ProcessWorker.get_default_base_job_template()
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        await client.upsert_global_concurrency_limit_by_name(TRAINING_LIMIT, trainings_at_once)
        await client.upsert_global_concurrency_limit_by_name(TRANSFER_LIMIT, LesionSettings().shards_at_once)
