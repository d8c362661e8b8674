"""How a listing was read, and the searches that it takes; common to both ways of reading it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lesion_core.archive_fields import IMAGE_ID
from lesion_core.isic.source import ArchiveSource

IDS_PER_QUERY = 100  # a page's worth; the archive takes request lines up to 8,190 bytes
Route = Literal["bulk", "pages"]
# Whom an image's attribution names: the archive's tables have that of each image, its pages only the default of the
# cohort that the image came with.
Credit = Literal["image", "cohort"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a listing was read.

    Attributes:
        route: 'bulk' or 'pages'.
        n_stated: How many images the archive counts; ``None`` where it did not say.
        n_repeated: Rows that came again.
        n_short: How many images fewer than it counts it lists, after all changes meanwhile.
        n_strange: Files in the bulk list that no row of the table is about, in every reading.
        strange: The first of those images.
        n_readings: How often it was read until nothing differed, or it was given up.
        left_out: Ids that were asked for, and that the archive has, but outside the source's query or collections.
        credited: Whose attribution the images have.
        notes: What changed in the archive while it was read.
    """

    route: Route
    n_stated: int | None
    n_repeated: int = 0
    n_short: int = 0
    n_strange: int = 0
    strange: tuple[str, ...] = ()
    n_readings: int = 1
    left_out: frozenset[str] = frozenset()
    credited: Credit = "image"
    notes: tuple[str, ...] = ()


def narrowed(query: str | None, condition: str) -> str:
    """Return the query for what meets a source's query and a further condition.

    Both stand in brackets, joined by AND: the archive refuses brackets side by side.
    """
    return f"({query.strip()}) AND ({condition})" if query and query.strip() else condition


def searches_of(source: ArchiveSource) -> Iterator[str | None]:
    """Yield the queries that together bring what a source asks for: its own, or one for each hundred ids."""
    if not source.ids:
        yield source.query
    for condition in by_ids(source.ids):
        yield narrowed(source.query, condition)


def by_ids(isic_ids: tuple[str, ...]) -> Iterator[str]:
    """Yield conditions that name the images, a hundred in each."""
    for start in range(0, len(isic_ids), IDS_PER_QUERY):
        yield " OR ".join(f"{IMAGE_ID}:{isic_id}" for isic_id in isic_ids[start : start + IDS_PER_QUERY])
