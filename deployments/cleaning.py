"""``lesion gc`` in words: what goes, what stays in spite of a withdrawal, what nobody here made."""

import datetime
from collections.abc import Callable, Iterator, Sequence

from lesion_core.registry.collection import collect
from lesion_core.registry.retention import Holder, Plan, Row, make_plan
from lesion_core.stores.folders import utc_now
from lesion_core.stores.protocol import Store

_SHOWN = 10


def clean(store: Store, *, retention_days: int, delete: bool, say: Callable[[str], None]) -> None:
    """Print what may go from a store and, if asked to, delete it.

    Raises:
        ArtifactCorrupt: What is needed cannot be determined; nothing is deleted.
    """
    retention = datetime.timedelta(days=retention_days)
    if delete:
        rows, plan = collect(store, retention=retention, clock=utc_now)
    else:
        plan = make_plan(store, retention=retention, now=utc_now())
        rows = plan.rows(store)
    for line in (*_table(rows), *_holders(plan.holders), *_unknown(plan)):
        say(line)
    say(_closing(rows, delete, retention_days, store.url))


def _table(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield f"{'kind':<12} {'objects':>9} {'size':>10}  why"
    for row in rows:
        yield f"{row.kind:<12} {row.n_objects:>9,} {_size(row.n_bytes):>10}  {row.why}"


def _size(n_bytes: int) -> str:
    size, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


def _holders(holders: Sequence[Holder]) -> Iterator[str]:
    for holder in holders:
        yield (
            f"{holder.key} stays and holds pixels of {len(holder.isic_ids):,} withdrawn images "
            f"({_some(holder.isic_ids)}), because of {holder.held_by}."
        )
    if holders:
        yield (
            "To be rid of them: run the flow 'retrain', which makes a dataset without them; approve the model it "
            "nominates; then run this again."
        )


def _unknown(plan: Plan) -> Iterator[str]:
    if plan.unknown:
        yield f"Left alone, since lesionflow did not make them: {_some([entry.key for entry in plan.unknown])}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _closing(rows: Sequence[Row], delete: bool, retention_days: int, url: str) -> str:
    n_objects, n_bytes = sum(row.n_objects for row in rows), sum(row.n_bytes for row in rows)
    if not n_objects:
        return f"Nothing to delete in {url}: all of it is needed, or younger than {retention_days} days."
    if delete:
        return f"Deleted {n_objects:,} objects, {_size(n_bytes)}, from {url}."
    return (
        f"A dry run: nothing was deleted. {n_objects:,} objects, {_size(n_bytes)}, would go from {url}; "
        "repeat with --delete."
    )
