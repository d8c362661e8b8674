"""What a Prefect server must hold before a flow can run: the work pool, the limits, the deployments."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from lesion_core.errors import ConfigError
from tasks.policies import TRAINING_LIMIT

POOL = "lesion"
PREFECT_FILE = Path(__file__).parent / "prefect.yaml"


def provision(trainings_at_once: int = 1) -> None:
    """Create the pool, the limits and every deployment of ``prefect.yaml``; repeating it changes nothing.

    Raises:
        ConfigError: Prefect refused a deployment; its own words are in the message.
    """
    asyncio.run(_create_pool_and_limits(trainings_at_once))
    outcome = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(PREFECT_FILE)],
        capture_output=True,
        text=True,
        cwd=PREFECT_FILE.parent.parent,
    )
    if outcome.returncode:
        raise ConfigError(f"prefect deploy failed:\n{outcome.stdout[-2000:]}{outcome.stderr[-2000:]}")


async def _create_pool_and_limits(trainings_at_once: int) -> None:
    async with get_client() as client:
        template = ProcessWorker.get_default_base_job_template()
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        await client.upsert_global_concurrency_limit_by_name(TRAINING_LIMIT, trainings_at_once)
