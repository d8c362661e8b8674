"""Optuna: where a study is kept, and in what state it is found again."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna

from lesion_core.errors import ArtifactCorrupt, ConfigError, StoreRefused, StoreUnavailable
from lesion_core.search.storage import opened_storage
from lesion_core.settings import LesionSettings
from tests.faults.expected import Refused
from tests.faults.surroundings.case import Place, SurroundingCase, Works

_STUDY = "quick-0123456789ab"
Act = Callable[[Place], None]


def _go_on(place: Place, address: str | None = None) -> int:
    """Open the study, new or as it was left, begin one more trial, and return how many there are."""
    settings = LesionSettings(work=place.folder, study_storage=address)
    with opened_storage(_STUDY, settings) as storage:
        study = optuna.create_study(storage=storage, study_name=_STUDY, load_if_exists=True)
        study.tell(study.ask(), 0.5)
        return len(study.trials)


def _at(address: str) -> Act:
    def act(place: Place) -> None:
        _go_on(place, address.replace("FOLDER", str(place.folder)))

    return act


def _journal(place: Place) -> Path:
    return place.folder / "studies" / f"{_STUDY}.journal"


def _left(spoil: Callable[[bytes], bytes]) -> Act:
    """Run a study, spoil its journal, and go on."""

    def act(place: Place) -> None:
        assert _go_on(place) == 1
        path = _journal(place)
        path.write_bytes(spoil(path.read_bytes()))
        assert _go_on(place) == 2

    return act


def _lock_left_behind(place: Place) -> None:
    assert _go_on(place) == 1
    path = _journal(place)
    path.with_name(f"{path.name}.lock").symlink_to(path.name)
    assert _go_on(place) == 2


def _of_another_optuna(place: Place) -> None:
    address = f"sqlite:///{place.folder}/studies.db"
    _go_on(place, address)
    with contextlib.closing(sqlite3.connect(place.folder / "studies.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
        connection.execute("UPDATE version_info SET schema_version = 11")
    _go_on(place, address)


def _locked(place: Place) -> None:
    path = place.folder / "studies.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        _go_on(place, f"sqlite:///{path}")


def _read_only(place: Place) -> None:
    path = place.folder / "studies.db"
    sqlite3.connect(path).close()
    path.touch()
    _go_on(place, f"sqlite:///file:{path}?mode=ro&uri=true")


def _damaged(place: Place) -> None:
    (place.folder / "studies.db").write_bytes(b"zeros after a power failure" + bytes(4096))
    _go_on(place, f"sqlite:///{place.folder}/studies.db")


STUDY_CASES = (
    SurroundingCase(
        "a study's journal whose last line was cut by a kill",
        "optuna/optuna#5138",
        Works("up to the line before"),
        _left(lambda journal: journal + b'{"op_code": 4, "tri'),
    ),
    SurroundingCase(
        "a study's journal that ends in zeros after a power failure",
        "optuna/optuna#5138",
        Works("up to the last whole line"),
        _left(lambda journal: journal + bytes(512)),
    ),
    SurroundingCase(
        "a study's journal with zeros in a line before the last",
        "optuna/optuna#5138",
        Refused(ArtifactCorrupt, "line 2 is not one"),
        _left(lambda journal: journal.replace(b"\n", b"\n" + bytes(64) + b"\n", 1)),
    ),
    SurroundingCase(
        "a lock file that a killed study left beside its journal",
        "optuna/optuna#5921",
        Works("the study goes on; it takes no such lock"),
        _lock_left_behind,
    ),
    SurroundingCase(
        "a database of studies that another version of Optuna wrote",
        "optuna/optuna#2866",
        Refused(ConfigError, "optuna storage upgrade"),
        _of_another_optuna,
    ),
    SurroundingCase(
        "a database of studies that another program holds locked",
        "optuna/optuna#820",
        Refused(StoreUnavailable, "database is locked"),
        _locked,
    ),
    SurroundingCase(
        "a database of studies that may only be read",
        "",
        Refused(StoreRefused, "attempt to write a readonly database"),
        _read_only,
    ),
    SurroundingCase(
        "a damaged database of studies",
        "optuna/optuna#5385",
        Refused(StoreRefused, "file is not a database"),
        _damaged,
    ),
    SurroundingCase(
        "LESION_STUDY_STORAGE=sqlite:// (in memory)",
        "",
        Refused(ConfigError, "it would be lost with the process"),
        _at("sqlite://"),
    ),
    SurroundingCase(
        "LESION_STUDY_STORAGE=sqlite://studies.db (two slashes)",
        "",
        Refused(ConfigError, "three slashes"),
        _at("sqlite://studies.db"),
    ),
    SurroundingCase(
        "LESION_STUDY_STORAGE with an @ in the password",
        "sqlalchemy/sqlalchemy#11262",
        Refused(ConfigError, "write one in the password as %40"),
        _at("postgresql+psycopg://lesion:p@ssword@db.clinic.example/studies"),
    ),
    SurroundingCase(
        "LESION_STUDY_STORAGE with a driver that is asynchronous, as Prefect's own address has",
        "sqlalchemy/sqlalchemy#10088",
        Refused(ConfigError, "got the asynchronous driver 'asyncpg'"),
        _at("postgresql+asyncpg://lesion:secret@db.clinic.example/studies"),
    ),
)
