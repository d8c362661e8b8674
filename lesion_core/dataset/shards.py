"""From a snapshot's bytes to shards of pixels, on all cores, continued after an interruption.

Nothing here grows with the number of images: records go to their place in the shard's file as they are made, and
their thumbnails to a file that is mapped.
"""

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.encoding import Shard, ShardWriter
from lesion_core.dataset.records import SHARD_ROWS, shard_name
from lesion_core.dataset.splitting.duplicates import THUMBNAIL_PX, thumbnail_of
from lesion_core.errors import ArtifactCorrupt, DataError, ImageRejected, ManifestError
from lesion_core.images import Preprocessing, preprocess_each
from lesion_core.progress import Progress, ProgressCallback
from lesion_core.stores.protocol import Store

THUMBNAILS_NAME = "thumbnails.npy"

_THUMBNAIL = Preprocessing(size_px=THUMBNAIL_PX)
_AHEAD = 2  # shards begun at a time: while one is brought to the disk, the cores work on the next
_MAX_NAMED = 10
_TOLD_EACH = 32  # records


@dataclass(frozen=True, slots=True)
class Image:
    """Where an image's bytes are, and what they must be."""

    isic_id: str
    image_key: str
    sha256: str


def write_shards(
    store: Store,
    images: pd.DataFrame,
    preprocessing: Preprocessing,
    folder: Path,
    *,
    thumbnails_folder: Path,
    on_progress: ProgressCallback,
) -> np.ndarray:
    """Decode every image once; write its pixels in row order and return the grey thumbnails.

    A shard is written whole or not at all, and one that is there is read and checked, not made again: ``folder``
    and ``thumbnails_folder`` must belong to these images and this preprocessing alone.

    Args:
        store: Where the bytes are.
        images: Columns ``isic_id``, ``image_key``, ``sha256``; row ``i`` goes to shard ``i // SHARD_ROWS``, place
            ``i % SHARD_ROWS``.
        preprocessing: Size of the records.
        folder: Where ``records/`` is made.
        thumbnails_folder: Where the thumbnails are kept, also for a continuation.
        on_progress: Gets the stage 'records', image by image.

    Returns:
        uint8 ``(n, 32, 32)``, mapped from a file in ``thumbnails_folder``.

    Raises:
        DataError: Images that do not decode; all are named (``isic_ids``).
        ArtifactCorrupt: Stored bytes that do not match their sha256.
    """
    _clear_partial(folder)
    thumbnails = _open_thumbnails(thumbnails_folder / THUMBNAILS_NAME, len(images), folder)
    rejected: list[ImageRejected] = []
    with contextlib.ExitStack() as cleanup, _workers(store) as pool:
        making = _Making(store, images, preprocessing, folder, thumbnails, pool, cleanup)
        for shard in _ahead(making.shards()):
            rejected += shard.finish(
                lambda done: on_progress(Progress(stage="records", done=done, total=len(images)))
            )
    if rejected:
        raise _unusable(rejected)
    return thumbnails


@dataclass(frozen=True, slots=True)
class _Begun:
    """A shard whose records are being made; without a writer it was there already."""

    rows: range
    thumbnails: np.memmap
    writer: ShardWriter | None = None
    records: Sequence[Future[ImageRejected | None]] = ()

    def finish(self, on_done: Callable[[int], None]) -> list[ImageRejected]:
        """Wait for the records, give the shard its name, or return the images that kept it from being whole.

        ``on_done`` hears, every few records and at the shard's end, how many rows are done from the first shard on.
        """
        rejected = []
        for number, record in enumerate(self.records, start=1):
            if (found := record.result()) is not None:
                rejected.append(found)
            if number % _TOLD_EACH == 0 and number < len(self.records):
                on_done(self.rows.start + number)
        if self.writer is not None and not rejected:
            self.thumbnails.flush()  # first, so that where a shard is, its thumbnails are
            self.writer.finish()
        on_done(self.rows.stop)
        return rejected


@dataclass(frozen=True, slots=True)
class _Making:
    """What the shards of one preparation are made of."""

    store: Store
    images: pd.DataFrame
    preprocessing: Preprocessing
    folder: Path
    thumbnails: np.memmap
    pool: ThreadPoolExecutor
    cleanup: contextlib.ExitStack

    def shards(self) -> Iterator[_Begun]:
        """Begin one shard after the other, in order."""
        for start in range(0, len(self.images), SHARD_ROWS):
            rows = range(start, min(start + SHARD_ROWS, len(self.images)))
            path = self.folder / shard_name(start // SHARD_ROWS)
            if _is_whole(path, len(rows), self.preprocessing.size_px):
                yield _Begun(rows, self.thumbnails)
            else:
                yield self._begin(path, rows)

    def _begin(self, path: Path, rows: range) -> _Begun:
        writer = ShardWriter(path, len(rows), self.preprocessing.size_px)
        self.cleanup.callback(writer.discard)
        columns = self.images[["isic_id", "image_key", "sha256"]].iloc[rows.start : rows.stop]
        records = [
            self.pool.submit(self._record, Image(*row), writer, number, rows.start + number)
            for number, row in enumerate(columns.itertuples(index=False))
        ]
        return _Begun(rows, self.thumbnails, writer, records)

    def _record(self, image: Image, writer: ShardWriter, row: int, place: int) -> ImageRejected | None:
        data = _read(self.store, image)
        try:
            pixels, small = preprocess_each(data, (self.preprocessing, _THUMBNAIL), image_id=image.isic_id)
        except ImageRejected as error:
            return error
        writer.put(row, pixels)
        self.thumbnails[place] = thumbnail_of(small)
        return None


def _ahead(shards: Iterator[_Begun]) -> Iterator[_Begun]:
    """Yield shards in order, ``_AHEAD`` of them begun."""
    begun = deque(islice(shards, _AHEAD))
    while begun:
        yield begun.popleft()
        begun.extend(islice(shards, 1))


def _is_whole(path: Path, n_rows: int, size_px: int) -> bool:
    """Tell whether a shard was made before; to read it takes a small part of the time to make it."""
    try:
        shard = Shard.open(path, size_px)
        shard.verify()
    except (ManifestError, ArtifactCorrupt):
        return False
    return len(shard) == n_rows


def _open_thumbnails(path: Path, n_images: int, folder: Path) -> np.memmap:
    """Map the thumbnails' file, uint8 ``(n, 32, 32)``; where it must be made, no shard in ``folder`` counts."""
    shape = (n_images, THUMBNAIL_PX, THUMBNAIL_PX)
    with contextlib.suppress(OSError, ValueError):
        kept = np.lib.format.open_memmap(path, mode="r+")
        if kept.shape == shape and kept.dtype == np.uint8:
            return kept
    for shard in folder.glob(shard_name(0).replace("00000", "*")):
        shard.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _read(store: Store, image: Image) -> bytes:
    data = store.read(image.image_key)
    actual = hashlib.sha256(data).hexdigest()
    if actual != image.sha256:
        raise ArtifactCorrupt(
            f"expected {image.image_key!r} in {store.url} to have sha256 {image.sha256}, got {actual}; remove "
            "the object and ingest again",
            key=image.image_key,
            expected=image.sha256,
            actual=actual,
        )
    return data


@contextlib.contextmanager
def _workers(store: Store) -> Iterator[ThreadPoolExecutor]:
    """Threads: decoding, scaling, hashing and writing free the interpreter lock; an error ends all at once."""
    pool = ThreadPoolExecutor(_n_threads(store), thread_name_prefix="records")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _n_threads(store: Store) -> int:
    """One thread a core; a remote store is waited for, so four."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return n_cores if store.root is not None else 4 * n_cores


def _clear_partial(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in folder.rglob(".*"):
        path.unlink()


def _unusable(rejected: Sequence[ImageRejected]) -> DataError:
    ids = [str(error.image_id) for error in rejected]
    named = "; ".join(f"{error.image_id}: {error.reason}" for error in rejected[:_MAX_NAMED])
    return DataError(
        f"expected every image of the snapshot to decode, got {len(ids)} that do not ({named}"
        f"{'; …' if len(ids) > _MAX_NAMED else ''}); ingest again, which leaves them out and says so",
        isic_ids=ids,
    )
