"""The two files that the archive has of a search in bulk: its metadata as CSV, and the list of its files."""

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO

import ijson

from lesion_core.archive_fields import ATTRIBUTION, IMAGE_ID, LICENCE, OWN
from lesion_core.errors import SourceResponseError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.listing.catalogue import CatalogueRow
from lesion_core.isic.statements import Statement, facts_from_cells, unescaped
from lesion_core.types import ISIC_ID

_TABLE_FORM = f"the archive's metadata as a CSV table in UTF-8 with {IMAGE_ID}, {ATTRIBUTION} and {LICENCE}"
_FILES_FORM = 'the archive\'s files as {"files": [{"url", "zipPath"}]}'
Cells = Mapping[str, str]


def save_table(
    client: ArchiveClient, query: str | None, collections: Sequence[int], token: str, table: BinaryIO
) -> None:
    """Write the metadata; a whole collection's is also on the archive's site, should the token's be refused.

    Raises as ``ArchiveClient`` does.
    """
    try:
        client.save_metadata(token, table)
    except SourceResponseError:
        if query or len(collections) != 1:
            raise
        client.save_collection_metadata(collections[0], table)


def searched_cells(client: ArchiveClient, query: str | None, collections: Sequence[int]) -> Iterator[Cells]:
    """Yield the rows of the table of a search, as cells by column.

    Raises:
        SourceUnavailable: The archive does not answer.
        SourceResponseError: It refuses, or its table is none.
    """
    token = client.bulk_token(query, collections)
    with tempfile.TemporaryFile() as table:
        save_table(client, query, collections, token, table)
        yield from cells_of(table)


def cells_of(table: BinaryIO) -> Iterator[Cells]:
    """Yield a saved table's rows as cells by column, and close it; raises ``SourceResponseError`` if it is none."""
    table.seek(0)
    with io.TextIOWrapper(table, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True, restval="")
        try:
            if missing := {IMAGE_ID, LICENCE} - set(reader.fieldnames or ()):
                raise unreadable(_TABLE_FORM, f"one without {', '.join(sorted(missing))}")
            for cells in reader:
                _check_row(cells, reader.line_num)
                yield cells
        except (csv.Error, UnicodeDecodeError) as error:
            raise unreadable(_TABLE_FORM, f"in line {reader.line_num}: {error}") from error


def _check_row(cells: Cells, line: int) -> None:
    isic_id = cells.get(IMAGE_ID, "")
    if not ISIC_ID.fullmatch(isic_id) or None in cells:
        raise unreadable(_TABLE_FORM, f"in line {line} the id {isic_id!r}, or more cells than columns")


def table_rows(table: BinaryIO, note: Callable[[Cells], None]) -> Iterator[CatalogueRow]:
    """Yield the images of a saved table, whose files are yet unknown; ``note`` is shown every row."""
    for cells in cells_of(table):
        note(cells)
        yield CatalogueRow(_statement_of(cells), None)


def attribution_of(cells: Cells) -> str:
    """Return whom a row of the table names as the image's author."""
    return unescaped(cells.get(ATTRIBUTION, ""))


def _statement_of(cells: Cells) -> Statement:
    return Statement(
        isic_id=cells[IMAGE_ID],
        licence=cells[LICENCE].strip(),
        attribution=attribution_of(cells),
        facts=facts_from_cells({name: text for name, text in cells.items() if name not in OWN}),
    )


def file_rows(listing: BinaryIO) -> Iterator[tuple[str, str]]:
    """Yield the id and the address of each image in a list of files; licences and tables in it are passed over."""
    listing.seek(0)
    try:
        for file in ijson.items(listing, "files.item"):
            isic_id = PurePosixPath(str(file["zipPath"])).stem
            if ISIC_ID.fullmatch(isic_id):
                yield isic_id, str(file["url"])
    except (ijson.JSONError, KeyError, TypeError) as error:
        raise unreadable(_FILES_FORM, repr(error)) from error


def require_files(n_rows: int, n_files: int) -> None:
    """Raise ``SourceResponseError`` where images are listed and no file at all."""
    if n_rows and not n_files:
        raise unreadable(_FILES_FORM, "a list without images")


def unreadable(expected: str, got: str) -> SourceResponseError:
    """Return the error that one of the two files is none."""
    return SourceResponseError(f"expected {expected}, got {got}; read it page by page (listing: pages)")
