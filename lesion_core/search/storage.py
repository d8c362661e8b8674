"""Where a study is kept: a journal file, SQLite or Postgres; and that only one process at a time writes to it."""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lesion_core.errors import ConfigError, StoreUnavailable
from lesion_core.settings import LesionSettings
from lesion_core.stores.filesystem import translated

_FORMS = "sqlite:///file or postgresql+psycopg://user:password@host/name"


@contextlib.contextmanager
def opened_storage(study: str, settings: LesionSettings) -> Iterator[BaseStorage]:
    """Open the storage of one study for the only process that writes to it.

    Raises:
        ConfigError: Another process runs the study, or LESION_STUDY_STORAGE is no address that can be used.
        StoreUnavailable: The database does not answer.
    """
    folder = settings.work / "studies"
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / f".{study}.lock", study):
        if settings.study_storage is None:
            yield _journal(folder / f"{study}.journal")
        else:
            with _database(_address(settings.study_storage.get_secret_value()), study) as storage:
                yield storage


@contextlib.contextmanager
def _alone(path: Path, study: str) -> Iterator[None]:
    """Hold the lock file ``path`` or refuse; it is freed by the end of this process, however that comes."""
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _is_running(study) from error
        yield


def _is_running(study: str) -> ConfigError:
    return ConfigError(
        f"study {study} is being run by another process, and only one may write to it; wait for its end, or stop it"
    )


class _HeldByUs(JournalFileOpenLock):
    """No lock of its own: ``_alone`` is held, and unlike Optuna's files it does not outlive a killed process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def _journal(path: Path) -> BaseStorage:
    with translated(path):
        _mend(path)
        return JournalStorage(JournalFileBackend(str(path), _HeldByUs(str(path))))


def _mend(path: Path) -> None:
    """Cut off a last line that a killed process left unfinished; the next would be written onto it."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _address(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        # Not the address itself in the message: it may hold a password.
        raise ConfigError(f"expected LESION_STUDY_STORAGE as {_FORMS}, got something else") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(f"expected LESION_STUDY_STORAGE as {_FORMS}, got one of {url.get_backend_name()!r}")
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:
        raise ConfigError(
            f"expected the driver {error.name!r} that LESION_STUDY_STORAGE names to be installed, found none; for "
            "Postgres install the package 'psycopg[binary]' and write postgresql+psycopg://…"
        ) from error
    return url


@contextlib.contextmanager
def _database(url: URL, study: str) -> Iterator[BaseStorage]:
    where = url.render_as_string(hide_password=True)
    try:
        with _alone_in_database(url, study):
            storage = RDBStorage(url.render_as_string(hide_password=False))
            try:
                yield storage
            finally:
                storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StoreUnavailable(
            f"expected the study's database {where} to answer, got {type(error).__name__}; check that it runs and "
            "that LESION_STUDY_STORAGE is right",
            study=study,
        ) from error


@contextlib.contextmanager
def _alone_in_database(url: URL, study: str) -> Iterator[None]:
    """Hold Postgres' own lock, which excludes processes of other machines too and ends with its connection."""
    if url.get_backend_name() != "postgresql":
        yield
        return
    number = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], signed=True)
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1)
    try:
        with engine.connect() as connection:
            if not connection.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": number}).scalar():
                raise _is_running(study)
            try:
                yield
            finally:
                # A busy server notices the end of a connection late, and whoever comes next would be refused.
                with contextlib.suppress(SQLAlchemyError):
                    connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": number})
    finally:
        engine.dispose()
