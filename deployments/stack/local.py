"""The local stack: Prefect server, worker, mirror and page, each a process that ends with this one."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from deployments.stack.addresses import HOST, Addresses, answers, direct_client, free_port
from deployments.stack.environment import LEASES_ON_DISK, PROJECT, environment
from deployments.stack.leftovers import cancel_runs, mark_crashed
from deployments.stack.occupancy import hold
from deployments.stack.processes import Stack
from deployments.stack.signals import ignore_signals, unwound_by_signals
from lesion_core.certificates import OF_HTTPX, require_certificates

__all__ = [
    "HOST",
    "LEASES_ON_DISK",
    "PROJECT",
    "Addresses",
    "Stack",
    "direct_client",
    "environment",
    "free_port",
    "running_stack",
]
log = logging.getLogger(__name__)


@contextlib.contextmanager
def running_stack(
    home: Path, addresses: Addresses, archive: Path | None, archive_url: str, scheduled: Sequence[str] = ()
) -> Iterator[Stack]:
    """Run the whole stack for the length of a ``with`` block.

    What a stack that was killed in this folder left behind is marked as crashed first; what runs at the end of the
    block is cancelled.

    Args:
        home: Folder for the store, Prefect's database and the logs.
        addresses: Where each part listens.
        archive: Folder that the mirror serves; ``None`` starts no mirror.
        archive_url: Archive that flows ask when their source names none.
        scheduled: Options of ``lesion deploy`` that say what scheduled runs ask for. Their schedules are off at
            first: a stack that somebody looks at should not begin to train by itself.

    Raises:
        ConfigError: Another stack runs in the folder, a part did not come up, or the archive is asked over TLS and
            the file of trusted certificates cannot be used.
    """
    if archive_url.startswith("https:"):
        require_certificates(OF_HTTPX)
    with hold(home) as held, unwound_by_signals():
        held.tell(addresses)
        descriptors = () if held.descriptor is None else (held.descriptor,)
        stack = Stack(home, environment(home, addresses, archive_url), descriptors)
        try:
            _bring_up(stack, addresses, archive, scheduled)
            yield stack
        finally:
            ignore_signals()
            _cancel(addresses)
            stack.stop()


def _bring_up(stack: Stack, addresses: Addresses, archive: Path | None, scheduled: Sequence[str]) -> None:
    stack.start("prefect-server", "prefect", "server", "start", "--host", HOST, "--port", str(addresses.prefect_port))
    if archive is not None:
        stack.start("mirror", "deployments.cli", "mirror", str(archive), "--port", str(addresses.mirror_port))
    stack.start("page", "deployments.app")
    stack.wait_until("prefect-server", lambda: answers(f"{addresses.prefect}/api/health"))
    mark_crashed(addresses.prefect, stack.home)
    stack.run("deploy", "deployments.cli", "deploy", "--paused", *scheduled)
    stack.start("worker", "prefect", "worker", "start", "--pool", "lesion", "--type", "process", "--name", "local")
    if archive is not None:
        stack.wait_until("mirror", lambda: answers(f"{addresses.mirror}images/?limit=1"))
    stack.wait_until("page", lambda: answers(f"{addresses.page}/healthz"))


def _cancel(addresses: Addresses) -> None:
    """Cancel what runs; a server that is gone or does not answer is no reason not to stop the rest."""
    if not answers(f"{addresses.prefect}/api/health"):
        return
    try:
        cancel_runs(addresses.prefect)
    except Exception as error:
        log.warning("runs could not be cancelled, and will be marked as crashed at the next start: %s", error)
