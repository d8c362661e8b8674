"""A listing page by page, 100 images at a time, in the order of creation alone.

Rows which tie in that order may be repeated or skipped where pages meet: what was skipped is known from the archive's
count, and only from that. A page names the cohort's default as an image's attribution; the archive's table has the
image's own, which is the one that its file and its licence name. So that is asked for, where the archive offers it.
"""

import logging
from collections.abc import Iterator

from lesion_core.archive_fields import IMAGE_ID
from lesion_core.errors import SourceError, SourceResponseError
from lesion_core.isic.api.client import READ_IN_BULK, ArchiveClient, ImagePage
from lesion_core.isic.api.models import ImageOut
from lesion_core.isic.listing.bulk_files import attribution_of, searched_cells
from lesion_core.isic.listing.catalogue import Catalogue, CatalogueRow
from lesion_core.isic.listing.reading import Credit, Reading, by_ids, searches_of
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.statements import Statement, facts_from_json
from lesion_core.progress import Progress, ProgressCallback

# A page may repeat images whose creation times tie; more repetitions than this are a listing without an end.
_FEWEST_REPETITIONS = 1000
_REPORT_EVERY = 500
log = logging.getLogger(__name__)


def read_pages(
    client: ArchiveClient, source: ArchiveSource, catalogue: Catalogue, on_progress: ProgressCallback
) -> Reading:
    """Fill an empty catalogue with everything that matches a source's query, collections and ids.

    Raises:
        SourceUnavailable: The archive does not answer.
        SourceResponseError: It refuses the query, or answers outside its contract.
    """
    n_stated: int | None = None
    n_rows = n_new = n_reported = 0
    for page in _pages(client, source):
        n_stated = page.count if n_stated is None else n_stated
        n_rows += len(page.images)
        n_new += catalogue.add(_listed(image) for image in page.images)
        if n_rows - n_new > max(_FEWEST_REPETITIONS, n_stated or 0):
            raise SourceResponseError(
                f"expected {n_stated} images, each once, got {n_new} and then the same ones over and over: "
                f"{READ_IN_BULK}"
            )
        if n_new >= n_reported + _REPORT_EVERY:
            n_reported = n_new
            on_progress(Progress(stage="list", done=n_new, total=n_stated))
    n_stated, notes = _counted_again(client, source, n_stated, n_new)
    return Reading(
        "pages",
        n_stated,
        n_repeated=n_rows - n_new,
        n_short=max(0, (n_stated or 0) - n_new),
        left_out=_left_out(client, source, catalogue),
        credited=_credit(client, source, catalogue) if n_new else "image",
        notes=notes,
    )


def _pages(client: ArchiveClient, source: ArchiveSource) -> Iterator[ImagePage]:
    for query in searches_of(source):
        yield from client.search(query, source.collections)


def _listed(image: ImageOut) -> CatalogueRow:
    facts = facts_from_json(image.metadata.acquisition, image.metadata.clinical)
    statement = Statement(image.isic_id, image.copyright_license, image.attribution, facts)
    return CatalogueRow(statement, image.files.full.url)


def _counted_again(
    client: ArchiveClient, source: ArchiveSource, n_stated: int | None, n_listed: int
) -> tuple[int | None, tuple[str, ...]]:
    """Return how many images the archive counts: asked again where it lists fewer, as some may be withdrawn since."""
    if source.ids or n_stated is None or n_stated <= n_listed:
        return None if source.ids else n_stated, ()
    try:
        n_now = client.count(source.query, source.collections)
    except SourceError as error:
        log.info("The archive does not count again: %s", error)
        return n_stated, ()
    if n_now >= n_stated:
        return n_stated, ()
    note = f"{n_stated - n_now} images were withdrawn from the archive while it was read"
    log.warning("%s; they are left out.", note)
    return n_now, (note,)


def _left_out(client: ArchiveClient, source: ArchiveSource, catalogue: Catalogue) -> frozenset[str]:
    """Return the ids that the archive lists, but not within the source's query and collections."""
    if not (source.query or "").strip() and not source.collections:
        return frozenset()
    missing = tuple(catalogue.missing_of(source.ids))
    pages = (page for condition in by_ids(missing) for page in client.search(condition))
    return frozenset(image.isic_id for page in pages for image in page.images)


def _credit(client: ArchiveClient, source: ArchiveSource, catalogue: Catalogue) -> Credit:
    """Give each image its own attribution in place of its cohort's; return which of the two they have."""
    try:
        for query in searches_of(source):
            rows = searched_cells(client, query, source.collections)
            named = ((cells[IMAGE_ID], attribution_of(cells)) for cells in rows)
            catalogue.credit((isic_id, attribution) for isic_id, attribution in named if attribution)
    except SourceError as error:
        log.warning(
            "The archive's table cannot be had (%s); images are attributed as their cohort is by default.", error
        )
        return "cohort"
    return "image"
