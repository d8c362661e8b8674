"""Where the parts of a local stack listen, and how this process asks them."""

import contextlib
import socket
from dataclasses import dataclass

import httpx

from lesion_core.errors import ConfigError

HOST = "127.0.0.1"


def free_port(preferred: int) -> int:
    """Return ``preferred`` if nothing listens there, else a port that is free now."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise ConfigError("expected a free port on 127.0.0.1, found none; close some programs")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of one stack listen."""

    prefect_port: int
    page_port: int
    mirror_port: int

    @property
    def prefect(self) -> str:
        """The Prefect UI."""
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def page(self) -> str:
        """The clinician's page."""
        return f"http://{HOST}:{self.page_port}"

    @property
    def mirror(self) -> str:
        """The archive's API, as the mirror speaks it."""
        return f"http://{HOST}:{self.mirror_port}/api/v2/"

    @classmethod
    def choose(cls) -> "Addresses":
        """Take the usual ports where they are free."""
        return cls(free_port(4200), free_port(7860), free_port(8011))


def direct_client(timeout_seconds: float) -> httpx.Client:
    """Return a client for addresses of this machine, whatever proxy and certificates the environment names.

    They speak plain HTTP, so no certificate is read, which would take longer than the question.
    """
    return httpx.Client(trust_env=False, verify=False, follow_redirects=True, timeout=timeout_seconds)


def answers(url: str) -> bool:
    """Say whether a GET of ``url`` answers 2xx."""
    try:
        with direct_client(2) as client:
            return client.get(url).is_success
    except httpx.TransportError:
        return False
