"""Where the parts of a flow that run side by side do so: threads of this process, or a Dask cluster."""

from importlib.util import find_spec
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from lesion_core.errors import ConfigError
from tasks.edge import read_settings


def task_runner() -> TaskRunner[Any]:
    """Return the runner of an archive's shards; raises as ``_runner``."""
    return _runner(read_settings().shards_at_once)


def trial_runner() -> TaskRunner[Any]:
    """Return the runner of a study's trials; raises as ``_runner``."""
    return _runner(read_settings().trials_at_once)


def comparison_runner() -> TaskRunner[Any]:
    """Return the runner of a comparison's runs; raises as ``_runner``.

    Training and evaluation of a run hold a thread each, the evaluation also while it waits for the training, so that
    it starts as that ends. Dask gives a thread only to what can start.
    """
    return _runner(read_settings().runs_at_once, threads_each=2)


def _runner(at_once: int, *, threads_each: int = 1) -> TaskRunner[Any]:
    """Return the runner that ``LESION_RUNNER`` names, for so many tasks, or chains of them, at a time.

    Prefect wants a runner where a flow is defined, so this is read when the flow's module is imported. An address
    names a running cluster; without one, a local cluster lives as long as the flow's run.

    Raises:
        ConfigError: Dask is asked for and not installed.
    """
    settings = read_settings()
    if settings.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=at_once * threads_each)
    if find_spec("prefect_dask") is None:
        raise ConfigError(
            "expected the package prefect-dask for LESION_RUNNER=dask, found none; install the extra: "
            "pip install 'lesionflow[dask]'"
        )
    from prefect_dask.task_runners import DaskTaskRunner  # an extra: most deployments need no cluster

    if settings.dask_address:
        return DaskTaskRunner(address=settings.dask_address)
    workers = {"n_workers": at_once, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=workers)
