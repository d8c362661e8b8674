"""The check of the logs sees what it is for."""

from pathlib import Path

from tests.logs import LogWatch, complaints

SCHEDULER = """12:00:00.001 | WARNING | prefect.server - slow
12:00:00.002 | ERROR   | prefect.server.services.scheduler - Unexpected error in: Scheduler
Traceback (most recent call last):
  File "scheduler.py", line 1, in run
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement
12:00:00.003 | INFO    | prefect.server - an ordinary line
"""


def test_an_error_is_found_with_its_traceback_and_nothing_else() -> None:
    found = complaints(SCHEDULER)
    assert len(found) == 1
    assert found[0].startswith("12:00:00.002")
    assert found[0].endswith("bulk DML statement")
    assert complaints(SCHEDULER, ["bulk DML"]) == []
    assert complaints("INFO:     Errors are counted: 0 failed\n") == []


def test_a_bare_traceback_is_found() -> None:
    text = "INFO:     started\n\nTraceback (most recent call last):\n  File ...\nValueError: no\nINFO:     stopped\n"
    assert len(complaints(text)) == 1


def test_a_log_is_read_once_and_what_was_expected_stays_so(tmp_path: Path) -> None:
    watch, log = LogWatch(tmp_path), tmp_path / "server.log"
    log.write_text(SCHEDULER)
    assert list(watch.news()) == ["server.log"]
    assert watch.news() == {}
    watch.expected.append("planted")
    for _ in range(2):
        with log.open("a") as file:
            file.write("12:00:01.000 | ERROR   | flow - planted\n")
        assert watch.news() == {}
