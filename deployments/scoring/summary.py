"""What came of a scoring, counted and in words; names are the first few."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.scoring.columns import meaning_of
from deployments.scoring.files import Listing
from deployments.scoring.matching import Matches
from deployments.scoring.patients import PatientTable
from lesion_core.fields.table import in_words
from lesion_core.isic.mirror.tables import some

_MOST_REASONS = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """An image without an answer, and why; ``reason`` is the same for all that fail alike."""

    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Every file of the folder, every row and every column of the table, accounted for.

    Attributes:
        n_notes: Images scored without a part of their row, as the column ``metadata_note`` says.
        n_flagged: Images scored although they are out of distribution.
    """

    output: Path
    listing: Listing
    refusals: tuple[Refusal, ...]
    table: PatientTable | None = None
    matches: Matches | None = None
    n_notes: int = 0
    n_flagged: int = 0

    @property
    def n_scored(self) -> int:
        """Images with an answer."""
        return len(self.listing.images) - len(self.refusals)

    @property
    def n_refused(self) -> int:
        """Images without one."""
        return len(self.refusals)

    def lines(self) -> list[str]:
        """Return the summary in words, one fact a line."""
        head = (
            f"{self.n_scored:,} images scored, {self.n_refused:,} refused (see the column 'refused'): {self.output}"
        )
        return [
            head,
            *(f"  {line}" for part in self._parts() for line in part),
        ]

    def _parts(self) -> tuple[Iterator[str], ...]:
        return self._refused(), self._flagged(), self._left_out(), self._metadata()

    def _flagged(self) -> Iterator[str]:
        if self.n_flagged:
            yield (
                f"out of distribution: {self.n_flagged:,} of the images scored are unlike those that the model was "
                "made from; their probabilities may mean nothing (column 'out_of_distribution')"
            )

    def _refused(self) -> Iterator[str]:
        reasons = Counter(refusal.reason for refusal in self.refusals).most_common()
        for reason, n_images in reasons[:_MOST_REASONS]:
            named = [refusal.image for refusal in self.refusals if refusal.reason == reason]
            yield f"refused: {n_images:,} × {reason} ({some(named)})"
        if len(reasons) > _MOST_REASONS:
            yield f"refused: {sum(n for _, n in reasons[_MOST_REASONS:]):,} × for other reasons"

    def _left_out(self) -> Iterator[str]:
        yield from _counted(
            "left out: ", self.listing.other_files, "file that is no image", "files that are no images"
        )
        yield from _counted(
            "left out: ", self.listing.hidden_files, "hidden file or folder", "hidden files and folders"
        )
        yield from _counted("left out: ", self.listing.special_files, "broken link or pipe", "broken links and pipes")
        yield from _counted("left out: ", self.listing.folders, "folder", "folders", "; --recursive goes into them")

    def _metadata(self) -> Iterator[str]:
        if self.table is None or self.matches is None:
            yield f"metadata: no table was given, so {in_words()} are unknown for every image"
            return
        columns, matches = self.table.columns, self.matches
        yield f"metadata: {len(matches.patients):,} images have a row in {self.table.path}"
        yield from _counted("metadata: ", matches.images_without_row, "image has no row", "images have no row")
        yield from _counted("metadata: ", matches.rows_without_image, "row has no image", "rows have no image")
        if matches.n_repeated:
            yield f"metadata: {matches.n_repeated:,} × a row that repeats an earlier one"
        if self.n_notes:
            yield f"metadata: {self.n_notes:,} × a site without a counterpart, left unknown (column 'metadata_note')"
        read = [f"{name} as {meaning_of(known)}" for known, name in columns.known.items()]
        yield f"columns: {', '.join(read)}"
        if columns.not_used or columns.ignored:
            yield f"columns not used: {', '.join([*columns.not_used, *columns.ignored])}"


def _counted(start: str, names: Sequence[str], one: str, many: str, hint: str = "") -> Iterator[str]:
    if names:
        yield f"{start}{len(names):,} {one if len(names) == 1 else many} ({some(names)}){hint}"
