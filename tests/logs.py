"""What servers wrote into their logs: tracebacks and errors that no test expects."""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

_COMPLAINT = re.compile(r"Traceback \(most recent call last\)|\b(?:ERROR|CRITICAL)\b")
# How a record begins: Prefect's clock and level, or uvicorn's and the standard library's level.
_RECORD = re.compile(r"^(?:\d\d:\d\d:\d\d\.\d+ \| |(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)[ :])", re.MULTILINE)

# What a server on SQLite writes where two of its services want the database at once, and does again by itself.
HARMLESS = (r"Worker channel heartbeat persistence failed[\s\S]*database is locked",)


def complaints(text: str, expected: Iterable[str] = ()) -> list[str]:
    """Return the records of a log that hold a traceback or an error.

    Args:
        text: The log.
        expected: Regular expressions; a record in which one is found is no complaint, nor what is in ``HARMLESS``.
    """
    known = [re.compile(pattern) for pattern in (*HARMLESS, *expected)]
    return [
        record.strip()
        for record in _records(text)
        if _COMPLAINT.search(record) and not any(pattern.search(record) for pattern in known)
    ]


def _records(text: str) -> list[str]:
    """Split a log; a traceback belongs to the record above it."""
    starts = [0, *(found.start() for found in _RECORD.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(starts)]


class LogWatch:
    """The logs below one folder, each read from where it was read last.

    Attributes:
        expected: Regular expressions of what tests have caused on purpose so far. They stay, since a server may write
            a moment after the test that made it do so.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self.expected: list[str] = []

    def news(self) -> dict[str, list[str]]:
        """Return the complaints that are new, by the name of the log."""
        found = {
            path.name: complaints(self._rest(path), self.expected) for path in sorted(self._folder.glob("*.log"))
        }
        return {name: records for name, records in found.items() if records}

    def _rest(self, path: Path) -> str:
        content = path.read_bytes()
        start = self._read.get(path, 0)
        self._read[path] = len(content)
        return content[start:].decode(errors="replace")
