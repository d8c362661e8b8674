"""The two ways to read a listing from the archive, in bulk and page by page; both fill the same catalogue.

In bulk, a token stands for a search, and two requests bring all of it: a CSV of the metadata and a list of the files.
These routes are public, but not in the published schema, so they may change; then the pages are read. Pages come
100 at a time and in the order of creation alone, so that rows which tie may be repeated or skipped: what was
skipped is known from the archive's count, and only from that.
"""

import csv
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, TypeVar

import ijson

from lesion_core.errors import SourceError, SourceResponseError
from lesion_core.isic.catalogue import Catalogue, CatalogueRow
from lesion_core.isic.client import ArchiveClient, ImagePage
from lesion_core.isic.models import ImageOut
from lesion_core.isic.statements import Statement, facts_from_cells, facts_from_json, unescaped
from lesion_core.types import ISIC_ID, ArchiveSource, Progress, ProgressCallback

# A page may repeat images whose creation times tie; more repetitions than this are a listing without an end.
_FEWEST_REPETITIONS = 1000
_IDS_PER_QUERY = 100  # a page's worth; the archive takes request lines up to 8,190 bytes
_OWN_COLUMNS = ("isic_id", "attribution", "copyright_license")
_TABLE_FORM = "the archive's metadata as a CSV table in UTF-8 with isic_id, attribution and copyright_license"
_REPORT_EVERY = 500
_Row = TypeVar("_Row")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a listing was read.

    Attributes:
        route: 'bulk' or 'pages'.
        n_stated: How many images the archive counts; ``None`` where it did not say.
        n_repeated: Rows that came again.
        n_strange: Files in the bulk list that no row of the table is about.
    """

    route: str
    n_stated: int | None
    n_repeated: int = 0
    n_strange: int = 0


def read_listing(
    client: ArchiveClient, source: ArchiveSource, catalogue: Catalogue, on_progress: ProgressCallback
) -> Reading:
    """Fill an empty catalogue with everything that matches a source's query, collections and ids.

    Ids are asked for page by page. Otherwise ``source.listing`` says how; 'auto' reads in bulk and falls back to the
    pages where the archive does not offer that, or fails to deliver it.

    Raises:
        SourceUnavailable: The archive does not answer.
        SourceResponseError: It refuses the query, or answers outside its contract.
    """
    if source.ids or source.listing == "pages":
        return _read_pages(client, source, catalogue, on_progress)
    try:
        return _read_bulk(client, source, catalogue)
    except SourceError as error:
        if source.listing == "bulk":
            raise
        log.warning("The archive's bulk listing cannot be used (%s); reading it page by page.", error)
        catalogue.clear()
        return _read_pages(client, source, catalogue, on_progress)


def _read_bulk(client: ArchiveClient, source: ArchiveSource, catalogue: Catalogue) -> Reading:
    token = client.bulk_token(source.query, source.collections)
    n_stated = client.count(source.query, source.collections)
    with tempfile.TemporaryFile() as table:
        _save_table(client, source, token, table)
        n_rows, n_new = _counted(_table_rows(table), catalogue.add)
    with tempfile.TemporaryFile() as listing:
        client.save_file_listing(token, listing)
        n_files, n_located = _counted(_file_rows(listing), catalogue.locate)
    if n_new and not n_files:
        raise _unreadable('the archive\'s files as {"files": [{"url", "zipPath"}]}', "a list without images")
    return Reading("bulk", n_stated, n_repeated=n_rows - n_new, n_strange=n_files - n_located)


def _save_table(client: ArchiveClient, source: ArchiveSource, token: str, table: BinaryIO) -> None:
    """Write the metadata; a whole collection's is also on the archive's site, should the token's be refused."""
    try:
        client.save_metadata(token, table)
    except SourceResponseError:
        if source.query or len(source.collections) != 1:
            raise
        client.save_collection_metadata(source.collections[0], table)


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


def _table_rows(table: BinaryIO) -> Iterator[CatalogueRow]:
    table.seek(0)
    with io.TextIOWrapper(table, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True, restval="")
        try:
            if missing := {"isic_id", "copyright_license"} - set(reader.fieldnames or ()):
                raise _unreadable(_TABLE_FORM, f"one without {', '.join(sorted(missing))}")
            for cells in reader:
                yield CatalogueRow(_statement_of(cells, reader.line_num), None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise _unreadable(_TABLE_FORM, f"in line {reader.line_num}: {error}") from error


def _statement_of(cells: dict[str, str], line: int) -> Statement:
    isic_id = cells.get("isic_id", "")
    if not ISIC_ID.fullmatch(isic_id) or None in cells:
        raise _unreadable(_TABLE_FORM, f"in line {line} the id {isic_id!r}, or more cells than columns")
    return Statement(
        isic_id=isic_id,
        licence=cells["copyright_license"].strip(),
        attribution=unescaped(cells.get("attribution", "")),
        facts=facts_from_cells({name: text for name, text in cells.items() if name not in _OWN_COLUMNS}),
    )


def _file_rows(listing: BinaryIO) -> Iterator[tuple[str, str]]:
    """Yield the id and the address of each image in a list of files; licences and tables in it are passed over."""
    listing.seek(0)
    try:
        for file in ijson.items(listing, "files.item"):
            isic_id = PurePosixPath(str(file["zipPath"])).stem
            if ISIC_ID.fullmatch(isic_id):
                yield isic_id, str(file["url"])
    except (ijson.JSONError, KeyError, TypeError) as error:
        raise _unreadable('the archive\'s files as {"files": [{"url", "zipPath"}]}', repr(error)) from error


def _unreadable(expected: str, got: str) -> SourceResponseError:
    return SourceResponseError(f"expected {expected}, got {got}; read it page by page (listing: pages)")


def _read_pages(
    client: ArchiveClient, source: ArchiveSource, catalogue: Catalogue, on_progress: ProgressCallback
) -> Reading:
    n_stated: int | None = None
    n_rows = n_new = n_reported = 0
    for page in _pages(client, source):
        n_stated = page.count if n_stated is None else n_stated
        n_rows += len(page.images)
        n_new += catalogue.add(_listed(image) for image in page.images)
        if n_rows - n_new > max(_FEWEST_REPETITIONS, n_stated or 0):
            raise SourceResponseError(
                f"expected {n_stated} images, each once, got {n_new} and then the same ones over and over; report it "
                "to the archive"
            )
        if n_new >= n_reported + _REPORT_EVERY:
            n_reported = n_new
            on_progress(Progress(stage="list", done=n_new, total=n_stated))
    return Reading("pages", None if source.ids else n_stated, n_repeated=n_rows - n_new)


def _pages(client: ArchiveClient, source: ArchiveSource) -> Iterator[ImagePage]:
    if not source.ids:
        yield from client.search(source.query, source.collections)
    for start in range(0, len(source.ids), _IDS_PER_QUERY):
        named = " OR ".join(f"isic_id:{isic_id}" for isic_id in source.ids[start : start + _IDS_PER_QUERY])
        query = f"({source.query}) AND ({named})" if (source.query or "").strip() else named
        yield from client.search(query, source.collections)


def _listed(image: ImageOut) -> CatalogueRow:
    facts = facts_from_json(image.metadata.acquisition, image.metadata.clinical)
    statement = Statement(image.isic_id, image.copyright_license, image.attribution, facts)
    return CatalogueRow(statement, image.files.full.url)
