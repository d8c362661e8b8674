"""Where the environment is read: once per task, passed down as values."""

import datetime

from lesion_core.certificates import set_unusable_aside
from lesion_core.settings import LesionSettings, keep_loopback_direct
from lesion_core.stores.open import open_store as open_store_of
from lesion_core.stores.protocol import Store


def prepare_environment() -> None:
    """Make the environment one that Prefect's clients work in: behind a proxy, with a server on this machine; and
    where a variable names certificates that are not there, and nothing needs them. To be called before its import.
    """
    keep_loopback_direct()
    set_unusable_aside()


def read_settings() -> LesionSettings:
    """Return the settings of this process's environment."""
    return LesionSettings()


def open_store() -> Store:
    """Return the store that the environment names."""
    return open_store_of(read_settings())


def utc_now() -> datetime.datetime:
    """Return the time; the clock that is handed to core."""
    return datetime.datetime.now(datetime.UTC)
