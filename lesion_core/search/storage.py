"""Where a study is kept: a journal file, SQLite or Postgres; and that only one process at a time writes to it."""

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from lesion_core.errors import ArtifactCorrupt, ConfigError, LesionError, StoreRefused, StoreUnavailable
from lesion_core.settings import LesionSettings
from lesion_core.stores.filesystem import translated

_FORMS = "sqlite:///file or postgresql+psycopg://user:password@host/name"
# In the words of SQLite and Postgres: what another attempt will not mend.
_FINAL = ("unable to open", "readonly", "no such", "no column", "authentication failed", "does not exist")


@contextlib.contextmanager
def opened_storage(study: str, settings: LesionSettings) -> Iterator[BaseStorage]:
    """Open the storage of one study for the only process that writes to it.

    Raises:
        ConfigError: Another process runs the study, LESION_STUDY_STORAGE is no address that can be used, or another
            version of Optuna wrote the database.
        ArtifactCorrupt: The journal is damaged.
        StoreRefused: The database is none of a study, or does not let this user write.
        StoreUnavailable: It does not answer.
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
        _check(path)
        try:
            return JournalStorage(JournalFileBackend(str(path), _HeldByUs(str(path))))
        except (LookupError, TypeError, ValueError, AssertionError) as error:  # as Optuna meets what it did not write
            raise _is_damaged(path, f"got {type(error).__name__} when it was read") from error


def _mend(path: Path) -> None:
    """Cut off a last line that a killed process left unfinished; the next would be written onto it."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _check(path: Path) -> None:
    """See that every line is whole: Optuna would fail at a damaged one, at once or when more was written."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                is_sound = isinstance(json.loads(line.decode()), dict)
            except ValueError:
                is_sound = False
            if not is_sound:
                raise _is_damaged(path, f"line {number} is not one")


def _is_damaged(path: Path, found: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        f"expected lines of JSON as Optuna writes them in {path}, but {found}; restore the file from a backup, or "
        "move it away: the study then starts anew, and trials that are in the store are taken from there",
        key=str(path),
    )


def _address(address: str) -> URL:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:  # the latter where the port is no number
        # Not the address itself in the message: it may hold a password.
        raise ConfigError(f"expected LESION_STUDY_STORAGE as {_FORMS}, got something else") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(f"expected LESION_STUDY_STORAGE as {_FORMS}, got one of {url.get_backend_name()!r}")
    try:
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except ImportError as error:
        raise ConfigError(
            f"expected the driver {error.name!r} that LESION_STUDY_STORAGE names to be installed, found none; for "
            "Postgres install the package 'psycopg[binary]' and write postgresql+psycopg://…"
        ) from error
    if dialect.is_async:
        raise ConfigError(
            f"expected LESION_STUDY_STORAGE as {_FORMS}, got the asynchronous driver {dialect.driver!r}"
        )
    if "@" in (url.host or ""):  # the rest of a password; not to be repeated
        raise ConfigError(
            f"expected LESION_STUDY_STORAGE as {_FORMS}, got an @ in the host; write one in the password as %40"
        )
    if url.get_backend_name() == "sqlite":
        _check_sqlite(url)
    return url


def _check_sqlite(url: URL) -> None:
    if url.host:
        raise ConfigError(
            f"expected LESION_STUDY_STORAGE as sqlite:///file, with three slashes, or four before an absolute path, "
            f"got {url}"
        )
    if url.database in (None, "", ":memory:") or url.query.get("mode") == "memory":
        raise ConfigError(
            f"expected LESION_STUDY_STORAGE to name a file, got {url}, a database in memory: it would be lost with "
            "the process, and the study could not go on"
        )


@contextlib.contextmanager
def _database(url: URL, study: str) -> Iterator[BaseStorage]:
    try:
        with _alone_in_database(url, study):
            storage = _opened(url)
            try:
                yield storage
            finally:
                storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise _meaning(error, url, study) from error


def _opened(url: URL) -> RDBStorage:
    try:
        return RDBStorage(url.render_as_string(hide_password=False))
    except RuntimeError as error:
        raise ConfigError(
            f"expected the study's database {url.render_as_string(hide_password=True)} to be of this version of "
            f"Optuna ({optuna.__version__}), got another one's; if it is older, keep a copy and run `optuna storage "
            "upgrade --storage ADDRESS`, else install the version that wrote it, or name another database in "
            "LESION_STUDY_STORAGE"
        ) from error


def _meaning(error: Exception, url: URL, study: str) -> LesionError:
    """Return a database's error as what it means to the caller: will another attempt help, or not."""
    cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
    said = str(cause.orig).strip().partition("\n")[0] if isinstance(cause, DBAPIError) else ""
    got = f"{type(cause or error).__name__}{said and f' ({said})'}"
    where = url.render_as_string(hide_password=True)
    if not isinstance(cause, OperationalError) or any(words in said for words in _FINAL):
        return StoreRefused(
            f"expected a database of studies at {where} that this user may write, got {got}; correct "
            "LESION_STUDY_STORAGE, or the rights there",
            study=study,
        )
    return StoreUnavailable(
        f"expected the study's database {where} to answer, got {got}; check that it runs and that "
        "LESION_STUDY_STORAGE is right",
        study=study,
    )


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
