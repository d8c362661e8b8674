"""Values that the archive's table leaves empty although the archive has them: 0 and false.

The archive's server takes an age of 0 for none when it writes the table (its test is Python's truth of a value), so a
newborn's age is an empty cell; its pages have it. What was lost can be asked for, because the query language finds
it: ``age_approx:0``. Other numbers and flags would be lost by the same test. The server writes them today; they are
asked for only where the table gives no proof of that: a column with gaps that has none of them anywhere.
``acquisition_day`` cannot be searched for: a 0 that is lost there stays lost.
"""

import logging
from collections.abc import Iterator

from lesion_core.archive_fields import AGE, FLAGS, IMAGE_ID, SIZE_MM, THICKNESS_MM
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.listing.bulk_files import Cells, searched_cells, unreadable
from lesion_core.isic.listing.catalogue import Catalogue
from lesion_core.isic.listing.reading import narrowed
from lesion_core.isic.source import ArchiveSource

# The value that may be lost, as the archive's pages have it; decimals are text there, with two places.
_VALUES: dict[str, object] = {
    AGE: 0,
    SIZE_MM: "0.00",
    THICKNESS_MM: "0.00",
    **dict.fromkeys(sorted(FLAGS), False),
}
log = logging.getLogger(__name__)


class Gaps:
    """Which columns of a table may have lost values, found out while it is read."""

    def __init__(self) -> None:
        self._with_gap: set[str] = set()
        self._with_value: set[str] = set()

    def note(self, cells: Cells) -> None:
        """Look at one row."""
        for name in _VALUES:
            text = cells.get(name)
            if text == "":
                self._with_gap.add(name)
            elif text is not None and _is_lost_value(name, text):
                self._with_value.add(name)

    def doubtful(self) -> list[str]:
        """Return the fields to ask for.

        An age of 0 in the table proves nothing: ages are rounded, and one or two years, which count as 0, are kept.
        """
        return [name for name in _VALUES if name in self._with_gap and (name == AGE or name not in self._with_value)]


def restore(client: ArchiveClient, source: ArchiveSource, catalogue: Catalogue, gaps: Gaps) -> int:
    """Put values that the table lost into the catalogue; return how many those were.

    A request for their number, and where there are any, two small ones for each field.

    Raises:
        SourceUnavailable: The archive does not answer.
        SourceResponseError: It refuses a query, or answers outside its contract.
    """
    tests = {name: f"{name}:{'false' if name in FLAGS else 0}" for name in gaps.doubtful()}
    if not tests:
        return 0
    if not client.count(narrowed(source.query, " OR ".join(tests.values())), source.collections):
        return 0
    n_restored = 0
    for name, test in tests.items():
        lost = _ids_of(client, source, name, test)
        n_restored += catalogue.complete(name, _VALUES[name], lost)
    if n_restored:
        log.info("The archive's table leaves %d values of 0 or false empty; they were asked for.", n_restored)
    return n_restored


def _ids_of(client: ArchiveClient, source: ArchiveSource, name: str, test: str) -> Iterator[str]:
    """Yield the images that have the value, from the table of a search for it: it has each of them, and once."""
    for cells in searched_cells(client, narrowed(source.query, test), source.collections):
        text = cells.get(name, "")
        if text and not _is_lost_value(name, text):
            raise unreadable(f"only images with {test} in the table of that search", f"{name} {text!r}")
        yield cells[IMAGE_ID]


def _is_lost_value(name: str, text: str) -> bool:
    """Return whether a cell says 0 or false."""
    if name in FLAGS:
        return text.strip().lower() == "false"
    try:
        return float(text) == 0
    except ValueError:
        return False
