"""A listing in bulk: a token stands for a search, and two requests bring all of it.

The requests (how many there are, their metadata, their files) are answered one after the other, and the archive goes
on meanwhile: an image that is published or withdrawn between them is in one answer and not in the other. So where
they differ, all is read again. Only what differs every time is lost.
"""

import itertools
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.listing.bulk_files import file_rows, require_files, save_table, table_rows
from lesion_core.isic.listing.catalogue import Catalogue
from lesion_core.isic.listing.lost_values import Gaps, restore
from lesion_core.isic.listing.reading import Reading
from lesion_core.isic.source import ArchiveSource
from lesion_core.progress import Progress, ProgressCallback, ignore_progress

MOST_READINGS = 3
# More images than this do not come or go between two requests: the answers are of different things.
_MOST_CHANGES = 1000
_SHOWN = 5
_ROWS_BETWEEN_NEWS = 1000
_Row = TypeVar("_Row")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reading: what the archive counted, and how its two files fit each other.

    Attributes:
        strange: Images with a file and no row in the table; the first ``_MOST_CHANGES`` of ``n_strange``.
        bare: Images with a row and no file; the first ``_MOST_CHANGES``.
    """

    n_stated: int
    n_listed: int
    n_repeated: int
    n_strange: int
    strange: frozenset[str]
    bare: frozenset[str]
    gaps: Gaps

    @property
    def n_short(self) -> int:
        """How many images fewer are listed than counted."""
        return max(0, self.n_stated - self.n_listed)

    @property
    def is_no_change(self) -> bool:
        """Whether so much differs that no image was merely published or withdrawn meanwhile."""
        return max(self.n_short, self.n_strange, len(self.bare)) >= _MOST_CHANGES


def read_bulk(
    client: ArchiveClient,
    source: ArchiveSource,
    catalogue: Catalogue,
    on_progress: ProgressCallback = ignore_progress,
) -> Reading:
    """Fill an empty catalogue with everything that matches a source's query and collections.

    ``on_progress`` gets the stage 'list', every thousand rows of the table and of the list of files.

    Raises:
        SourceUnavailable: The archive does not answer.
        SourceResponseError: It refuses the query, does not offer this, or answers outside its contract.
    """
    token = client.bulk_token(source.query, source.collections)
    readings: list[_Reading] = []
    while True:
        catalogue.clear()
        readings.append(_read(client, source, token, catalogue, on_progress))
        if not _differs(readings) or readings[-1].is_no_change or len(readings) == MOST_READINGS:
            break
        log.info("The archive's bulk answers differ (%s); reading them again.", _in_words(readings[-1]))
    notes = tuple(_settle(readings, catalogue))
    restore(client, source, catalogue, readings[-1].gaps)
    strange = _in_all([reading.strange for reading in readings])
    return Reading(
        "bulk",
        readings[-1].n_stated,
        n_repeated=readings[-1].n_repeated,
        n_short=min(reading.n_short for reading in readings),
        n_strange=readings[-1].n_strange if readings[-1].is_no_change else len(strange),
        strange=tuple(sorted(strange)[:_SHOWN]),
        n_readings=len(readings),
        notes=notes,
    )


def _read(
    client: ArchiveClient, source: ArchiveSource, token: str, catalogue: Catalogue, on_progress: ProgressCallback
) -> _Reading:
    gaps = Gaps()
    n_stated = client.count(source.query, source.collections)
    with tempfile.TemporaryFile() as table:
        _announce(on_progress, 0, n_stated, "table of metadata on its way")
        save_table(client, source.query, source.collections, token, table)
        rows = _announced(table_rows(table, gaps.note), n_stated, "table of metadata", on_progress)
        n_rows, n_new = _counted(rows, catalogue.add)
    with tempfile.TemporaryFile() as listing:
        _announce(on_progress, 0, n_stated, "list of files on its way")
        client.save_file_listing(token, listing)
        files = _announced(file_rows(listing), n_stated, "list of files", on_progress)
        n_files, n_located = _counted(files, catalogue.locate)
        strange = _strange(listing, catalogue) if n_files > n_located else frozenset[str]()
    require_files(n_new, n_files)
    bare = frozenset(catalogue.without_file(_MOST_CHANGES))
    return _Reading(n_stated, n_new, n_rows - n_new, n_files - n_located, strange, bare, gaps)


def _announce(on_progress: ProgressCallback, done: int, total: int, message: str) -> None:
    on_progress(Progress(stage="list", done=min(done, total), total=total, message=message))


def _announced(rows: Iterator[_Row], total: int, message: str, on_progress: ProgressCallback) -> Iterator[_Row]:
    for number, row in enumerate(rows, start=1):
        yield row
        if number % _ROWS_BETWEEN_NEWS == 0:
            _announce(on_progress, number, total, message)


def _strange(listing: BinaryIO, catalogue: Catalogue) -> frozenset[str]:
    unknown = catalogue.missing_of(isic_id for isic_id, _ in file_rows(listing))
    return frozenset(itertools.islice(unknown, _MOST_CHANGES))


def _counted(rows: Iterator[_Row], take: Callable[[Iterator[_Row]], int]) -> tuple[int, int]:
    """Hand rows on; return how many there were and how many were taken."""
    n_rows = 0

    def counting() -> Iterator[_Row]:
        nonlocal n_rows
        for row in rows:
            n_rows += 1
            yield row

    n_taken = take(counting())
    return n_rows, n_taken


def _differs(readings: Sequence[_Reading]) -> bool:
    """Return whether anything differs in every reading."""
    is_short = all(reading.n_short for reading in readings)
    return is_short or bool(
        _in_all([reading.strange for reading in readings]) or _in_all([reading.bare for reading in readings])
    )


def _in_all(sets: Sequence[frozenset[str]]) -> frozenset[str]:
    return frozenset.intersection(*sets)


def _settle(readings: Sequence[_Reading], catalogue: Catalogue) -> Iterator[str]:
    """Leave out what was withdrawn while the last reading went on, and yield what was withdrawn, in words.

    An image that only the last list of files has is newer than its table, and is no loss.
    """
    gone = set[str]().union(*(reading.bare for reading in readings)) - _in_all([reading.bare for reading in readings])
    catalogue.remove(gone & readings[-1].bare)
    withdrawn = sorted(catalogue.missing_of(gone))
    n_fewer = readings[0].n_short - min(reading.n_short for reading in readings)
    if withdrawn:
        shown = ", ".join(withdrawn[:_SHOWN]) + (", …" if len(withdrawn) > _SHOWN else "")
        yield _said(f"{len(withdrawn)} images were withdrawn from the archive while it was read: {shown}")
    elif n_fewer:
        yield _said(f"{n_fewer} images were withdrawn from the archive while it was read")


def _said(note: str) -> str:
    log.warning("%s; they are left out.", note)
    return note


def _in_words(reading: _Reading) -> str:
    return (
        f"{reading.n_stated} images counted, {reading.n_listed} listed; {reading.n_strange} files without a row, "
        f"{len(reading.bare)} rows without a file"
    )
