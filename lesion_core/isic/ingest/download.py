"""From listed images to checked raw bytes in the store: several downloads at a time, each whole or not at all."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from lesion_core.errors import ImageRejected, SourceError, SourceUnavailable
from lesion_core.images import probe
from lesion_core.isic.api.client import ArchiveClient
from lesion_core.isic.api.transport import Answer
from lesion_core.isic.ingest.holdings import Holdings, StoredImage
from lesion_core.isic.listing.listing import ListedImage
from lesion_core.keys import archive_key
from lesion_core.progress import Progress, ProgressCallback, ignore_progress
from lesion_core.stores.protocol import Store
from lesion_core.types import StoreKey

# So many failures in a row, with nothing arriving between them, are the archive's and not the images'.
_FAILURES_IN_A_ROW = 20
# How many images a thread takes at a time: at most so many, and so few that each connection has this many turns.
_MOST_AT_A_TIME = 16
_TURNS = 8
_EXTENSIONS = {"jpeg": "jpg", "tiff": "tif"}
_MD5 = re.compile(r"[0-9a-f]{32}")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MissingImage:
    """An image that did not arrive usable.

    Attributes:
        stage: Whether the transfer failed, or what came is no image.
        url: Where it was asked for.
        reason: Words.
        is_transient: Whether a later attempt may succeed.
    """

    isic_id: str
    stage: Literal["download", "decode"]
    url: str
    reason: str
    is_transient: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """An image that is in the store, and how many bytes were transferred for it (0: it was there)."""

    image: StoredImage
    n_transferred_bytes: int = 0


Outcome = Arrival | MissingImage


def fetch_images(
    client: ArchiveClient,
    images: Sequence[ListedImage],
    store: Store,
    *,
    holdings: Holdings | None = None,
    connections: int = 10,
    revalidate: bool = False,
    on_progress: ProgressCallback = ignore_progress,
) -> tuple[list[Arrival], list[MissingImage]]:
    """Bring every image into the store under ``archive/<isic_id>/<sha256>.<ext>``, raw bytes as sent.

    What the store holds already is not transferred. An image is stored only if its length is the announced
    one and it decodes. What is stored stays stored whatever happens afterwards; images whose transfer failed
    for reasons that may pass get one more round at the end.

    Args:
        client: The archive.
        images: Which ones, each id once.
        store: Where to.
        holdings: What the store holds already.
        connections: Downloads at a time.
        revalidate: Ask for images at hand too, by their version tag, and transfer those that changed.
        on_progress: Called in this thread after every few images.

    Returns:
        The images that arrived, and those that did not, each sorted by isic_id.

    Raises:
        SourceUnavailable: Nothing arrives any more; a rerun goes on where this one stopped.
        StoreError: The store refuses or does not answer.
    """
    worker = _Worker(client, store, holdings or Holdings(), revalidate)
    arrived: dict[str, Arrival] = {}
    missing: dict[str, MissingImage] = {}
    todo = list(images)
    for _ in range(2):
        for outcomes in _in_parallel(worker.fetch, todo, connections):
            for outcome in outcomes:
                if isinstance(outcome, Arrival):
                    arrived[outcome.image.isic_id] = outcome
                    missing.pop(outcome.image.isic_id, None)
                else:
                    missing[outcome.isic_id] = outcome
            on_progress(_progress(len(arrived), len(missing), len(images)))
        todo = [image for image in todo if image.isic_id in missing and missing[image.isic_id].is_transient]
        if not todo:
            break
    store.settle(arrival.image.image_key for arrival in arrived.values() if arrival.n_transferred_bytes)
    return (
        sorted(arrived.values(), key=lambda arrival: arrival.image.isic_id),
        sorted(missing.values(), key=lambda image: image.isic_id),
    )


def _progress(n_arrived: int, n_missing: int, n_wanted: int) -> Progress:
    message = f"{n_missing} did not arrive" if n_missing else ""
    return Progress(stage="download", done=min(n_arrived + n_missing, n_wanted), total=n_wanted, message=message)


def _in_parallel(
    fetch: Callable[[ListedImage], Outcome], images: Sequence[ListedImage], connections: int
) -> Iterator[list[Outcome]]:
    """Yield outcomes as they come; whatever ends the iteration early also ends the downloads not yet begun.

    A thread takes a few images at a time: to hand over each one would cost as much as to fetch it.
    """
    few = max(1, min(_MOST_AT_A_TIME, len(images) // (_TURNS * connections)))
    pool = ThreadPoolExecutor(connections, thread_name_prefix="download")

    def fetch_few(start: int) -> list[Outcome]:
        return [fetch(image) for image in images[start : start + few]]

    try:
        futures: list[Future[list[Outcome]]] = [pool.submit(fetch_few, start) for start in range(0, len(images), few)]
        n_in_a_row = 0
        for future in as_completed(futures):
            outcomes = future.result()
            for outcome in outcomes:
                n_in_a_row = n_in_a_row + 1 if isinstance(outcome, MissingImage) and outcome.is_transient else 0
                if n_in_a_row >= max(_FAILURES_IN_A_ROW, 2 * connections):
                    raise _silence(n_in_a_row, outcome)
            yield outcomes
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _silence(n_in_a_row: int, last: Outcome) -> SourceUnavailable:
    reason = last.reason if isinstance(last, MissingImage) else ""
    return SourceUnavailable(
        f"expected images from the archive, but {n_in_a_row} downloads in a row failed ({reason}); what has arrived "
        "is stored, and a rerun goes on from there"
    )


class _Worker:
    """What one download thread does for one image."""

    def __init__(self, client: ArchiveClient, store: Store, holdings: Holdings, revalidate: bool) -> None:
        self._client = client
        self._store = store
        self._holdings = holdings
        self._revalidate = revalidate

    def fetch(self, image: ListedImage) -> Outcome:
        """Return the image from the store, or download and store it."""
        held = self._held(image.isic_id)
        if held is not None and not self._revalidate:
            return Arrival(held)
        if image.url is None:
            return MissingImage(image.isic_id, "download", "", "the archive lists no file for it")
        return self._download(image.isic_id, image.url, held)

    def _held(self, isic_id: str) -> StoredImage | None:
        """Return what the store holds of an image: as a snapshot describes it, or looked at anew."""
        known = self._holdings.known.get(isic_id)
        unproven = self._holdings.unproven.get(isic_id)
        held = known or (self._proven(isic_id, unproven) if unproven else None)
        tag = self._holdings.tags.get(held.image_key) if held else None
        return replace(held, etag=tag) if held and tag else held

    def _proven(self, isic_id: str, key: StoreKey) -> StoredImage | None:
        """Return a stored image whose bytes are those of its key and decode; else ``None``."""
        body = self._store.read(key)
        try:
            stored = _examined(isic_id, body, None)
        except ImageRejected:
            return None
        if stored.image_key != key:
            log.warning("The bytes at %s are not those they were; downloading the image again.", key)
            return None
        return stored

    def _download(self, isic_id: str, url: str, held: StoredImage | None) -> Outcome:
        tag = self._tag_of(held) if held else None
        try:
            answer = self._whole(url, tag)
        except SourceError as error:
            reason = str(error.context.get("reason", error.message))
            return MissingImage(isic_id, "download", url, reason, error.transient)
        if held is not None and answer.is_unchanged:
            return Arrival(replace(held, etag=tag))
        try:
            stored = _examined(isic_id, answer.body, answer.etag)
        except ImageRejected as error:
            return MissingImage(isic_id, "decode", url, str(error.context.get("reason", error.message)))
        if held is None or held.image_key != stored.image_key:
            self._store.stage(stored.image_key, answer.body)
        return Arrival(stored, len(answer.body))

    def _tag_of(self, held: StoredImage) -> str:
        """Return the version tag of stored bytes: the server's own, or else their MD5, which it is of most objects.

        An object store tags what was sent to it in one part with its MD5; of several parts, or encrypted, it is not.
        """
        return held.etag or hashlib.md5(self._store.read(held.image_key), usedforsecurity=False).hexdigest()

    def _whole(self, url: str, unless: str | None) -> Answer:
        """Return the answer whose body is what its version tag says, where the tag is an MD5 of it.

        A tag that looks like an MD5 need not be one (that of an encrypted S3 object is not): where the same bytes
        come twice, they are taken as right.
        """
        first = self._client.download(url, unless=unless)
        if first.is_unchanged or _is_as_tagged(first):
            return first
        second = self._client.download(url)
        if _is_as_tagged(second) or second.body == first.body:
            return second
        raise SourceUnavailable(
            f"expected the bytes that their ETag {second.etag} names, got two different others; run it again",
            reason="its bytes are not those that their ETag names",
        )


def _is_as_tagged(answer: Answer) -> bool:
    if answer.etag is None or not _MD5.fullmatch(answer.etag):
        return True
    return hashlib.md5(answer.body, usedforsecurity=False).hexdigest() == answer.etag


def _examined(isic_id: str, body: bytes, etag: str | None) -> StoredImage:
    """Return what there is to know of an image's bytes; raises ``ImageRejected``."""
    facts = probe(body, image_id=isic_id)
    sha256 = hashlib.sha256(body).hexdigest()
    key = archive_key(isic_id, sha256, _EXTENSIONS.get(facts.format, facts.format))
    return StoredImage(isic_id, sha256, key, len(body), facts.width, facts.height, etag)


def file_name(url: str) -> str:
    """Return the last part of an address, for tables: no host, no port, no signature."""
    return PurePosixPath(url.partition("?")[0]).name
