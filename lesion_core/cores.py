"""How many processor cores this process may use: fewer than the machine has, in a container or under ``taskset``."""

import contextlib
import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = _CGROUPS) -> int:
    """Return the number of cores, at least 1, by the process's affinity and its container's share of time.

    A library that starts a thread for every core of the machine is slowed down by the threads that have to wait.

    Args:
        cgroups: Where Linux tells the limits of a container: ``cpu.max`` (version 2), or ``cpu/cpu.cfs_quota_us`` and
            ``cpu/cpu.cfs_period_us`` (version 1), each as seen from inside.
            https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _share(cgroups)
    return n_cores if share is None else max(1, min(n_cores, math.ceil(share)))


def _share(cgroups: Path) -> float | None:
    """Return how many cores' time there is, or ``None`` where nothing limits it."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (cgroups / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(quota) <= 0 else int(quota) / int(period)
    return None
