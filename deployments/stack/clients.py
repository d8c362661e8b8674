"""Prefect's settings for asking a local stack's server from this process."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    get_current_settings,
    temporary_settings,
)
from prefect.settings.base import PrefectBaseSettings
from pydantic_core import PydanticUndefined

_SECONDS = 10.0
DIRECT = {"trust_env": False}  # for get_client: no proxy, no .netrc


@contextmanager
def own_settings(server: str) -> Iterator[None]:
    """Let Prefect's clients in this block ask a stack's server with default settings and nothing else.

    What variables, a profile, ``.env``, ``prefect.toml`` or ``pyproject.toml`` say is meant for another server: a key
    or a password among it would be sent to this one.

    Args:
        server: Address of the stack's Prefect server, without ``/api``.
    """
    own = {
        PREFECT_API_URL: f"{server}/api",
        PREFECT_API_SSL_CERT_FILE: None,  # plain HTTP: no certificates are read
    }
    with temporary_settings(own, restore_defaults=_changed(get_current_settings())) as settings:
        settings.client.custom_headers = {}  # an update would be merged with them
        yield


def _changed(settings: PrefectBaseSettings, above: str = "") -> list[str]:
    """Return the names of the settings that something has set, as 'server.api.auth_string'."""
    names = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, PrefectBaseSettings):
            names += _changed(value, f"{above}{name}.")
        elif name in settings.model_fields_set and field.default is not PydanticUndefined:
            names.append(f"{above}{name}")
    return names


@contextmanager
def asking(server: str) -> Iterator[SyncPrefectClient]:
    """Yield a client of a stack's server; each request has ten seconds, and goes through no proxy."""
    with (
        own_settings(server),
        get_client(sync_client=True, httpx_settings={**DIRECT, "timeout": _SECONDS}) as client,
    ):
        yield client
