"""What a source would bring, before anything of it is downloaded."""

from pydantic import Field

from lesion_core.archive_fields import LICENCE
from lesion_core.errors import SourceResponseError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.source import ArchiveSource
from lesion_core.types import LICENCE_ORDER, Licence, Value


class Survey(Value):
    """How much matches a source."""

    n_images: int = Field(ge=0, description="Images that match")
    stated_bytes: int | None = Field(
        default=None, ge=0, description="Sum of the noted file sizes; the files are some 3 kB larger each"
    )
    licences: dict[Licence, int] = Field(description="Matching images by licence")
    accepted: tuple[Licence, ...] = Field(description="The licences that the source accepts")
    limit: int | None = Field(default=None, description="About how many images would be drawn of them")

    def in_words(self) -> str:
        """Return one or two sentences for a terminal."""
        size = "of unstated size" if self.stated_bytes is None else f"about {self.stated_bytes / 1e9:.2f} GB"
        licences = ", ".join(f"{count:,} {licence}" for licence, count in self.licences.items() if count)
        n_usable = sum(count for licence, count in self.licences.items() if licence in self.accepted)
        words = f"{self.n_images:,} images, {size} as the archive states it; licences: {licences or 'none stated'}."
        if n_usable < self.n_images:
            words += f" {n_usable:,} of them under an accepted licence ({', '.join(self.accepted)})."
        if self.limit is not None and self.limit < n_usable:
            words += f" A sample of about {self.limit:,} will be downloaded."
        return words


def survey(source: ArchiveSource, *, patience: Patience | None = None) -> Survey:
    """Ask an archive how many images match a source, how many bytes, and under which licences.

    A handful of small requests; nothing is listed or downloaded. Licences are those of all matches, whether
    or not their diagnosis is one of the classes.

    Raises:
        SourceUnavailable: The archive does not answer.
        SourceResponseError: The archive refuses the query.
    """
    with ArchiveClient(source.url, connections=1, patience=patience) as client:
        n_images = client.count(source.query, source.collections)
        return Survey(
            n_images=n_images,
            stated_bytes=client.stated_bytes(source.query, source.collections),
            licences=_count_licences(client, source),
            accepted=source.licences,
            limit=source.limit,
        )


def _count_licences(client: ArchiveClient, source: ArchiveSource) -> dict[Licence, int]:
    query = (source.query or "").strip()
    given = f"({query}) AND " if query else ""
    try:
        return {
            licence: client.count(f'{given}{LICENCE}:"{licence}"', source.collections) for licence in LICENCE_ORDER
        }
    except SourceResponseError:
        return {}
