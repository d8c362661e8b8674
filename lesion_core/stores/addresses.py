"""Which keys a store accepts: the same ones everywhere, so that artifacts can move between stores."""

import re

from pydantic import TypeAdapter, ValidationError

from lesion_core.errors import ConfigError
from lesion_core.types import StoreKey

_ADAPTER: TypeAdapter[str] = TypeAdapter(StoreKey)
# What keys.py makes: nothing in it can be wrong, and looking closer takes longer than to store a small file.
_PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,126}"
_USUAL = re.compile(f"{_PART}(/{_PART})*")
_LONGEST_PART_BYTES = 255  # the limit of common filesystems
_LONGEST_KEY_BYTES = 900  # S3 allows 1024, of which a store's own prefix takes some


def checked_key(key: str) -> StoreKey:
    """Return ``key`` if it names one object below a store's root.

    Raises:
        ConfigError: It is absolute, climbs with '..', has an empty or hidden part, or is too long.
    """
    if len(key) <= _LONGEST_KEY_BYTES and _USUAL.fullmatch(key):
        return key
    try:
        _ADAPTER.validate_python(key)
    except ValidationError as error:
        raise ConfigError(
            f"{error.errors()[0]['msg'].removeprefix('Value error, ')}; make keys with keys.py"
        ) from error
    parts = key.split("/")
    if any(part.startswith(".") for part in parts):  # hidden names are the local store's own
        raise ConfigError(f"expected a store key without parts that begin with a dot, got {key!r}; rename it")
    too_long = len(key.encode()) > _LONGEST_KEY_BYTES or any(len(p.encode()) > _LONGEST_PART_BYTES for p in parts)
    if too_long or not key.isprintable():
        raise ConfigError(
            f"expected a printable store key of at most {_LONGEST_KEY_BYTES} bytes, {_LONGEST_PART_BYTES} between "
            f"slashes, got {key!r}; rename it"
        )
    return key


def checked_prefix(prefix: str) -> str:
    """Return ``prefix`` if keys can begin with it; the empty prefix means all keys.

    Raises:
        ConfigError: No key can begin with it.
    """
    if prefix:
        checked_key(prefix.removesuffix("/") or prefix)
    return prefix
