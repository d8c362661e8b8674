"""The archive against the last manifest, before anything is downloaded or trained.

What left the listing is not yet withdrawn: the archive is asked about each such image by its id, one question at a
time. Only what it then does not know (404, 410) is noted as withdrawn, for good (``withdrawals``); the others have
merely left the collection or the query. First it is asked about an image that it does list: where it does not know
that one either, the address is wrong, and nothing is noted.
"""

import datetime
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from pydantic import Field

from lesion_core.errors import SourceResponseError
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Patience
from lesion_core.isic.listing.listing import read_statements
from lesion_core.isic.source import ArchiveSource
from lesion_core.isic.watch.changes import ArchiveChanges, NewValue, compare, paired
from lesion_core.isic.watch.schema_drift import GONE, Drift, diff, find_drift, require_no_drift
from lesion_core.isic.withdrawals import note_withdrawn, withdrawn_ids
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.refs import ListingRef
from lesion_core.stores.folders import get_index, list_folders, utc_now
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import find_reference
from lesion_core.types import Value

_UNKNOWN = (404, 410)
_SHOWN = 20
Row = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Previous:
    """The listing that the last snapshot was made from, and that snapshot's id."""

    listing: ListingRef
    snapshot_id: str


class WatchReport(Value):
    """What changed in the archive since the last snapshot."""

    current: str = Field(description="Id of the listing of now")
    previous: str | None = Field(description="Id of the listing before; None: there is none to compare with")
    changes: ArchiveChanges | None = Field(
        description="None where there is nothing to compare, or it is the same one"
    )
    withdrawn: tuple[str, ...] = Field(default=(), description="Images that the archive no longer knows")
    n_left: int = Field(default=0, ge=0, description="Images that it still knows, but no longer lists here")
    n_unasked: int = Field(default=0, ge=0, description="Images that are gone and were not asked about")
    listed_again: tuple[str, ...] = Field(default=(), description="Images noted as withdrawn that it lists")
    drift: tuple[Drift, ...] = Field(default=(), description="Changes that may lose data and were not accepted")

    @property
    def has_changes(self) -> bool:
        """Whether anything is worth telling."""
        return bool(self.listed_again) or (self.changes is not None and not self.changes.is_none)

    def require_steady(self) -> None:
        """Raise ``SchemaDrift``, with a readable diff, where data may be lost."""
        if self.changes is not None and self.previous is not None:
            require_no_drift(self.drift, self.changes, previous=self.previous, current=self.current)

    def drift_in_words(self) -> str:
        """Return the drift as a diff in Markdown, or that there is none."""
        if not self.drift or self.changes is None:
            return "No schema drift."
        lines = diff(self.drift, self.changes, previous=str(self.previous), current=self.current)
        return f"```diff\n{lines}\n```"

    def in_words(self) -> str:
        """Return one sentence."""
        if self.previous is None:
            return f"{self.current} is the first listing of its kind: there is nothing to compare it with."
        if not self.has_changes or self.changes is None:
            return f"Nothing has changed since {self.previous}."
        verdict = f" It stops the run: {', '.join(sorted({each.name for each in self.drift}))}." if self.drift else ""
        return (
            f"Since {self.previous}: {self.changes.new.n:,} new images, {len(self.withdrawn):,} withdrawn, "
            f"{self.changes.relabelled.n:,} relabelled, {self.changes.relicensed.n:,} under another licence.{verdict}"
        )

    def rows(self) -> list[Row]:
        """Return the changes as rows of change, number and examples."""
        changes = self.changes
        if changes is None:
            return []
        relabelled = [f"{each.isic_id}: {each.before} → {each.after}" for each in changes.relabelled.first]
        relicensed = [f"{each.isic_id}: {each.before} → {each.after}" for each in changes.relicensed.first]
        left = [isic_id for isic_id in changes.gone.first if isic_id not in self.withdrawn]
        fields = {
            "new field": [each for each in changes.fields if not each.n_previous],
            "missing field": [each for each in changes.fields if not each.n_current],
        }
        rows = [
            _row("new", changes.new.n, changes.new.first),
            _row("withdrawn", len(self.withdrawn), self.withdrawn),
            _row("left the collection", self.n_left, left),
            _row("gone, not asked about", self.n_unasked, changes.gone.first if self.n_unasked else ()),
            _row("noted as withdrawn, listed again", len(self.listed_again), self.listed_again),
            _row("relabelled", changes.relabelled.n, relabelled),
            _row("under another licence", changes.relicensed.n, relicensed),
            *(_row(name, len(each), [field.name for field in each]) for name, each in fields.items()),
            _row("new value", len(changes.new_values), [_value_in_words(value) for value in changes.new_values]),
        ]
        return [row for row in rows if row["number"]]


def watch(
    source: ArchiveSource,
    listing: ListingRef,
    store: Store,
    *,
    accept: Collection[str] = (),
    patience: Patience | None = None,
    clock: Callable[[], datetime.datetime] = utc_now,
    on_progress: ProgressCallback = ignore_progress,
) -> WatchReport:
    """Compare a listing with the one that the last snapshot was made from; note what the archive withdrew.

    Drift is in the report, not raised: ``WatchReport.require_steady`` does that, once the report was shown.

    Args:
        source: Where to ask about images that are gone.
        listing: What the archive lists now.
        store: Where listings are, and where withdrawals are noted.
        accept: Names of changes that are known and meant (``Drift.name``).
        patience: Time limits and retries.
        clock: Time of the notes.
        on_progress: Gets the stage 'ask'.

    Raises:
        SourceUnavailable: The archive does not answer (transient).
        SourceResponseError: It does not know an image that it lists.
        ArtifactCorrupt: A listing's bytes are not those that were published.
    """
    again = _listed_again(store, listing)
    previous = find_previous(store, listing.name, listing)
    if previous is None or previous.listing.id == listing.id:
        previous_id = None if previous is None else previous.listing.id
        return WatchReport(current=listing.id, previous=previous_id, changes=None, listed_again=again)
    changes = compare(read_statements(store, previous.listing), read_statements(store, listing))
    drift = find_drift(changes, accept)
    is_asked = changes.gone.n > 0 and GONE not in {each.name for each in drift}
    withdrawn: tuple[str, ...] = ()
    if is_asked:
        gone = _gone_ids(store, previous.listing, listing)
        with ArchiveClient(source.url, connections=1, patience=patience) as client:
            withdrawn = tuple(_unknown_to(client, _first_id(store, listing), gone, changes.gone.n, on_progress))
        note_withdrawn(store, withdrawn, archive=client.url, last_seen=previous.snapshot_id, clock=clock)
    return WatchReport(
        current=listing.id,
        previous=previous.listing.id,
        changes=changes,
        withdrawn=withdrawn,
        n_left=changes.gone.n - len(withdrawn) if is_asked else 0,
        n_unasked=0 if is_asked else changes.gone.n,
        listed_again=again,
        drift=drift,
    )


def find_previous(store: Store, name: str, listing: ListingRef) -> Previous | None:
    """Return the listing behind the newest snapshot called ``name`` that was asked for the same images.

    It may be ``listing`` itself: then nothing has changed since. ``None`` where there is no such snapshot.
    """
    _, index = get_index(store, listing)
    made = sorted(list_folders(store, f"snapshots/{name}/"), key=lambda item: item[1].created, reverse=True)
    for key, snapshot, _ in made:
        if snapshot.inputs.get("scope") == index.inputs["scope"]:
            earlier = find_reference(store, ListingRef, f"listings/{snapshot.inputs.get('listing')}")
            if earlier is not None:
                return Previous(listing=earlier, snapshot_id=key.partition("/")[2])
    return None


def _gone_ids(store: Store, previous: ListingRef, current: ListingRef) -> Iterator[str]:
    pairs = paired(read_statements(store, previous), read_statements(store, current))
    return (before.isic_id for before, after in pairs if before is not None and after is None)


def _first_id(store: Store, listing: ListingRef) -> str:
    return next(read_statements(store, listing)).isic_id


def _listed_again(store: Store, listing: ListingRef) -> tuple[str, ...]:
    noted = withdrawn_ids(store)
    if not noted:
        return ()
    return tuple(each.isic_id for each in read_statements(store, listing) if each.isic_id in noted)


def _unknown_to(
    client: ArchiveClient, listed: str, gone: Iterator[str], n_gone: int, on_progress: ProgressCallback
) -> Iterator[str]:
    """Yield the ids that the archive does not know; raises where it does not know one that it lists."""
    if not _knows(client, listed):
        raise SourceResponseError(
            f"expected {client.url} to know {listed}, which it lists, but it answers 404; so it cannot tell which "
            "images were withdrawn, and none is noted. Check the archive's address, or report it to the archive",
            status=404,
        )
    for number, isic_id in enumerate(gone, 1):
        if not _knows(client, isic_id):
            yield isic_id
        on_progress(Progress(stage="ask", done=number, total=n_gone, message=isic_id))


def _knows(client: ArchiveClient, isic_id: str) -> bool:
    try:
        client.image(isic_id)
    except SourceResponseError as error:
        if error.context.get("status") in _UNKNOWN:
            return False
        raise
    return True


def _row(change: str, n: int, examples: Collection[str]) -> Row:
    shown = list(examples)[:_SHOWN]
    return {"change": change, "number": n, "examples": "; ".join(shown) + ("; …" if n > len(shown) else "")}


def _value_in_words(new: NewValue) -> str:
    return f"{new.field} = {new.value!r}: {new.n_images:,} images, {new.n_mapped:,} mapped"
