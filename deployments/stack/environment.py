"""What the processes of a local stack find in their environment, and which settings of Prefect hold for it."""

import os
from collections.abc import Mapping
from pathlib import Path

from deployments.stack.addresses import Addresses
from lesion_core.paths import absolute_address, absolute_path
from lesion_core.proxies import loopback_excepted

PROJECT = Path(__file__).resolve().parents[2]
LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"
# How much is logged changes nothing of what a stack does. Everything else may: a database, a password, a key or a
# path meant for another server would be used by the stack's own, or sent to it.
ALLOWED = frozenset({"PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_SERVER_LEVEL", "PREFECT_SERVER_LOGGING_LEVEL"})
# Not Prefect's by name: an older name of its key for secrets, and a number of processes for a server that has one.
_ALSO_LEFT_OUT = frozenset({"ORION_ENCRYPTION_KEY", "WEB_CONCURRENCY"})
_PATHS = ("LESION_WORK", "LESION_RECIPES", "LESION_COMPARISONS")


def is_left_out(name: str) -> bool:
    """Say whether a variable of the user's shell stays out of a local stack.

    Prefect reads names in any case, and takes several hundred of them. A stack has its own server, database and
    settings, so all are left out except those of ``ALLOWED``.
    """
    upper = name.upper()
    return upper in _ALSO_LEFT_OUT or (upper.startswith("PREFECT_") and upper not in ALLOWED)


def leave_out_inherited() -> list[str]:
    """Take the variables that a local stack leaves out from this process's environment, and return their names.

    To be called before Prefect is imported: it reads them then, and does not start where one is no value for it.
    """
    names = sorted(name for name in os.environ if is_left_out(name))
    for name in names:
        del os.environ[name]
    return names


def environment(home: Path, addresses: Addresses, archive_url: str) -> dict[str, str]:
    """Return the variables that all processes of a stack share; what the user has set wins for the store.

    Relative paths are those of the folder that the stack is started in: its processes run in one of their own.
    """
    fixed = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"{addresses.prefect}/api",
        "PREFECT_SERVER_UI_API_URL": f"{addresses.prefect}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # In memory, a restart would forget who holds a slot, and the slot would stay taken for ever.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_ON_DISK,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "lesion_core",
        "DO_NOT_TRACK": "1",
        "LESION_PAGE_PORT": str(addresses.page_port),
        "LESION_ARCHIVE_URL": archive_url,
        "PYTHONUNBUFFERED": "1",
    }
    defaults = {
        "LESION_STORE": str(home / "store"),
        "LESION_WORK": str(home / "work"),
        "LESION_RECIPES": str(PROJECT / "deployments" / "recipes"),
        "LESION_COMPARISONS": str(PROJECT / "deployments" / "comparisons"),
    }
    inherited = {name: value for name, value in os.environ.items() if not is_left_out(name)}
    if (PROJECT / "pyproject.toml").is_file():  # a checkout, which need not be installed
        fixed["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PROJECT), inherited.get("PYTHONPATH"))))
    return {**defaults, **inherited, **_absolute(inherited), **loopback_excepted(inherited), **fixed}


def _absolute(inherited: Mapping[str, str]) -> dict[str, str]:
    found = {name: str(absolute_path(inherited[name])) for name in _PATHS if inherited.get(name)}
    store = inherited.get("LESION_STORE", "")
    return {**found, **({"LESION_STORE": absolute_address(store)} if store else {})}
