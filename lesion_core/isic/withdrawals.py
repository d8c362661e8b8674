"""Images that the archive took back: noted once, for good, in the store.

A withdrawn image is left out of every later dataset, whatever snapshot it is made from.
"""

import datetime
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from pydantic import Field, ValidationError

from lesion_core.errors import ArtifactCorrupt, StoreConflict
from lesion_core.keys import canonical_json, withdrawn_key
from lesion_core.stores.folders import utc_now
from lesion_core.stores.protocol import Store
from lesion_core.types import IsicId, Value


class Withdrawal(Value):
    """Content of ``withdrawn/<isic_id>.json``."""

    isic_id: IsicId
    noticed: str = Field(description="When its absence was noticed, ISO 8601, UTC")
    archive: str = Field(description="Address of the archive that no longer has it")
    last_seen: str = Field(description="Id of the last snapshot that had it")


def withdrawn_ids(store: Store) -> frozenset[str]:
    """Return the ids of all images that were ever withdrawn."""
    return frozenset(PurePosixPath(key).stem for key in store.list("withdrawn/"))


def read_withdrawal(store: Store, isic_id: str) -> Withdrawal:
    """Return the note on one image.

    Raises:
        ArtifactNotFound: It was never withdrawn.
        ArtifactCorrupt: The note is none.
    """
    key = withdrawn_key(isic_id)
    body = store.read(key)
    try:
        return Withdrawal.model_validate_json(body)
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"expected a note on a withdrawn image at {key!r} in {store.url}, got something else; write it again "
            "with isic_id, noticed, archive and last_seen",
            key=key,
            expected="a withdrawal",
            actual="",
        ) from error


def note_withdrawn(
    store: Store,
    isic_ids: Iterable[str],
    *,
    archive: str,
    last_seen: str,
    clock: Callable[[], datetime.datetime] = utc_now,
) -> int:
    """Note that the archive no longer has these images; return how many were not noted before."""
    noticed = clock().astimezone(datetime.UTC).isoformat(timespec="seconds")
    n_new = 0
    for isic_id in isic_ids:
        note = Withdrawal(isic_id=isic_id, noticed=noticed, archive=archive, last_seen=last_seen)
        try:
            store.create(withdrawn_key(isic_id), canonical_json(note.model_dump(mode="json")))
            n_new += 1
        except StoreConflict:
            continue  # noted before; the first note stays
    return n_new
