"""The two ways to read a listing from the archive, in bulk and page by page; both fill the same catalogue.

The routes in bulk are public, but not in the published schema, so they may change; then the pages are read.
"""

import logging

from lesion_core.errors import SourceError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.listing.bulk_listing import read_bulk
from lesion_core.isic.listing.catalogue import Catalogue
from lesion_core.isic.listing.page_listing import read_pages
from lesion_core.isic.listing.reading import Reading
from lesion_core.isic.source import ArchiveSource
from lesion_core.progress import ProgressCallback

log = logging.getLogger(__name__)


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
        return read_pages(client, source, catalogue, on_progress)
    try:
        return read_bulk(client, source, catalogue, on_progress)
    except SourceError as error:
        if source.listing == "bulk":
            raise
        log.warning("The archive's bulk listing cannot be used (%s); reading it page by page.", error)
        catalogue.clear()
        return read_pages(client, source, catalogue, on_progress)
