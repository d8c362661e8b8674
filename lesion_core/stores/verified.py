"""Which local files were found whole: remembered, as hashing a dataset at every start takes longer than opening it.

A file is taken for the one that was hashed while its device, inode, size and times of last change (of content and of
inode, in nanoseconds) are those of then; else it is hashed again. Two cases in which these say too little:

- A file that changes twice within a tick of the filesystem's clock looks as before ("racy Git"): one that was young
  when it was hashed is not remembered.
- A disk that loses bits changes none of them: nothing is remembered for longer than a week.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from lesion_core.stores.filesystem import temporary_file
from lesion_core.types import Sha256

_YOUNG_NS = 2_000_000_000  # the coarsest clock of a filesystem in use ticks every two seconds
_HOLDS_SECONDS = 7 * 24 * 3600
Facts = list[int]


class Verified:
    """What is remembered of the files of one folder, in a small file of its own.

    Args:
        path: The file; a missing, unreadable or damaged one remembers nothing.
        clock: Seconds since the epoch.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._notes = _read(path)
        self._is_changed = False

    def holds(self, name: str, path: Path, sha256: Sha256) -> bool:
        """Say whether a file is, as far as its facts tell, the one that was found to have this sha256."""
        note = self._notes.get(name)
        if note is None or note.get("sha256") != sha256 or note.get("facts") != facts_of(path):
            return False
        age = self._clock() - float(str(note.get("at", 0)))
        return 0 <= age < _HOLDS_SECONDS

    def add(self, name: str, path: Path, sha256: Sha256, before: Facts | None) -> None:
        """Remember what a file's sha256 was found to be, unless it may have changed meanwhile.

        Args:
            name: Of the file in its folder.
            path: Where it is.
            sha256: As found.
            before: The file's facts before it was read.
        """
        now = self._clock()
        if before is None or before != facts_of(path) or now * 1e9 - max(before[-2:]) < _YOUNG_NS:
            return
        self._notes[name] = {"sha256": sha256, "facts": before, "at": now}
        self._is_changed = True

    def save(self) -> None:
        """Write down what is new; where that is not possible, files are hashed again the next time."""
        if not self._is_changed:
            return
        with contextlib.suppress(OSError), temporary_file(self._path) as (sink, temporary):
            sink.write(json.dumps(self._notes).encode())
            sink.flush()
            os.replace(temporary, self._path)


def facts_of(path: Path) -> Facts | None:
    """Return what would be other if a file had been changed or replaced, or ``None`` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        notes = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: note for name, note in notes.items() if isinstance(note, dict)} if isinstance(notes, dict) else {}
