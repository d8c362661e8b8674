"""From the settings to a store."""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lesion_core.errors import ConfigError
from lesion_core.settings import LesionSettings
from lesion_core.stores.local import LocalStore
from lesion_core.stores.protocol import Store
from lesion_core.stores.retry import RetryingStore

if TYPE_CHECKING:
    from lesion_core.stores.s3 import S3Store

_FORMS = "a directory, file:///dir, or s3://bucket/prefix"
_LIKE_A_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def open_store(settings: LesionSettings) -> Store:
    """Return the store that ``settings`` name; nothing is contacted yet.

    Raises:
        ConfigError: The address is of no known form, or only one of the two S3 keys is set.
    """
    scheme, separator, _ = settings.store.partition("://")
    if not settings.store.strip():
        raise ConfigError(f"expected LESION_STORE to be {_FORMS}, got nothing")
    if not separator and _LIKE_A_SCHEME.match(settings.store):  # s3:/bucket would be a directory called "s3:"
        raise ConfigError(
            f"expected LESION_STORE to be {_FORMS}, got {settings.store!r}; write two slashes after the colon of an "
            "address, and ./ before a directory whose name has a colon"
        )
    if not separator:
        return RetryingStore(LocalStore(Path(settings.store)))
    if scheme == "file":
        return RetryingStore(LocalStore(_directory(settings.store)))
    if scheme == "s3":
        return RetryingStore(_s3_store(settings))
    raise ConfigError(f"expected LESION_STORE to be {_FORMS}, got {settings.store!r}")


def open_existing_store(settings: LesionSettings) -> Store:
    """Return the store that ``settings`` name, to be read; a directory must be there, a bucket shows itself.

    Raises:
        ConfigError: There is no such directory, or as for ``open_store``. Nothing is made.
    """
    store = open_store(settings)
    if store.root is not None and not store.root.is_dir():
        raise ConfigError(
            f"expected a store in {store.root}, found {'a file' if store.root.exists() else 'nothing'} there; set "
            "LESION_STORE to the one that `make demo` names at its end, or run `make demo` in this folder first"
        )
    return store


def _directory(address: str) -> Path:
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ConfigError(
            f"expected an absolute directory after file://, as in file:///srv/lesion, got {address!r}; three slashes"
        )
    return Path(unquote(parts.path))


def _s3_store(settings: LesionSettings) -> "S3Store":
    from lesion_core.stores.s3 import S3Store  # boto3 takes time and memory that a local store need not spend

    parts = urlsplit(settings.store)
    if parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc:
        raise ConfigError(
            "expected LESION_STORE as s3://bucket/prefix and nothing more; the server's address goes into "
            "LESION_S3_ENDPOINT, the keys into LESION_S3_ACCESS_KEY and LESION_S3_SECRET_KEY"
        )
    access, secret = settings.s3_access_key, settings.s3_secret_key
    if (access is None) != (secret is None):
        raise ConfigError(
            "expected LESION_S3_ACCESS_KEY and LESION_S3_SECRET_KEY both set or both unset, got one of them"
        )
    if "//" in parts.path:
        raise ConfigError(
            f"expected LESION_STORE as s3://bucket/prefix with single slashes in the prefix, got {settings.store!r}; "
            "an empty part is a name of its own in S3"
        )
    return S3Store(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key=access.get_secret_value() if access else None,
        secret_key=secret.get_secret_value() if secret else None,
    )
