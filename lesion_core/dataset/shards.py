"""From a snapshot's bytes to shards of pixels, on all cores, continued after an interruption."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.duplicates import THUMBNAIL_PX, thumbnail_of
from lesion_core.dataset.records import SHARD_ROWS, shard_name
from lesion_core.errors import ArtifactCorrupt, DataError, ImageRejected
from lesion_core.images import Preprocessing, decode, resize
from lesion_core.stores.filesystem import temporary_file
from lesion_core.stores.protocol import Store
from lesion_core.types import Progress, ProgressCallback

_THUMBNAIL = Preprocessing(size_px=THUMBNAIL_PX)
_MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a picture's bytes are, and what they must be."""

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
    """Decode every picture once; write its pixels in row order and return the grey thumbnails.

    A shard is written whole or not at all, and one that is there is not made again: ``folder`` and
    ``thumbnails_folder`` must belong to these images and this preprocessing alone.

    Args:
        store: Where the bytes are.
        images: Columns ``isic_id``, ``image_key``, ``sha256``; row ``i`` goes to shard ``i // SHARD_ROWS``, place
            ``i % SHARD_ROWS``.
        preprocessing: Size of the records.
        folder: Where ``records/`` is made.
        thumbnails_folder: Where each shard's thumbnails are kept for a continuation.
        on_progress: Told after each shard, stage 'records'.

    Returns:
        uint8 ``(n, 32, 32)``.

    Raises:
        DataError: Pictures that do not decode; all are named (``isic_ids``).
        ArtifactCorrupt: Stored bytes that do not match their sha256.
    """
    _clear_partial(folder)
    pictures = [Picture(*row) for row in images[["isic_id", "image_key", "sha256"]].itertuples(index=False)]
    thumbnails, rejected = [], list[ImageRejected]()
    with ThreadPoolExecutor(_n_threads(store), thread_name_prefix="records") as pool:
        for start in range(0, len(pictures), SHARD_ROWS):
            number, part = start // SHARD_ROWS, pictures[start : start + SHARD_ROWS]
            shard = _Shard(folder / shard_name(number), thumbnails_folder / f"{number:05d}.npy")
            kept = shard.thumbnails(len(part))
            if kept is None:
                made = list(pool.map(lambda picture: _record(store, picture, preprocessing), part))
                rejected += [item for item in made if isinstance(item, ImageRejected)]
                if rejected:
                    continue  # to name them all; nothing more needs to be written
                kept = shard.write([item for item in made if not isinstance(item, ImageRejected)])
            thumbnails.append(kept)
            on_progress(Progress(stage="records", done=start + len(part), total=len(pictures)))
    if rejected:
        raise _unusable(rejected)
    return np.concatenate(thumbnails)


@dataclass(frozen=True, slots=True)
class _Shard:
    """The two files of a shard; the thumbnails come last, so where they are, the shard is whole."""

    path: Path
    thumbnails_path: Path

    def thumbnails(self, n_rows: int) -> np.ndarray | None:
        """Return the thumbnails of a shard that is there and has ``n_rows``, else ``None``."""
        try:
            kept = np.load(self.thumbnails_path, allow_pickle=False)
            pixels = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return None
        return kept if len(kept) == len(pixels) == n_rows else None

    def write(self, made: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Write both files and return the thumbnails."""
        thumbnails = np.stack([thumbnail for _, thumbnail in made])
        _save(self.path, np.stack([pixels for pixels, _ in made]))
        _save(self.thumbnails_path, thumbnails)
        return thumbnails


def _record(
    store: Store, picture: Picture, preprocessing: Preprocessing
) -> tuple[np.ndarray, np.ndarray] | ImageRejected:
    data = store.read(picture.image_key)
    actual = hashlib.sha256(data).hexdigest()
    if actual != picture.sha256:
        raise ArtifactCorrupt(
            f"expected {picture.image_key!r} in {store.url} to have sha256 {picture.sha256}, got {actual}; remove "
            "the object and ingest again",
            key=picture.image_key,
            expected=picture.sha256,
            actual=actual,
        )
    try:
        pixels = decode(data, image_id=picture.isic_id)
    except ImageRejected as error:
        return error
    return resize(pixels, preprocessing), thumbnail_of(resize(pixels, _THUMBNAIL))


def _n_threads(store: Store) -> int:
    """Decoding frees the interpreter lock, so one thread a core; a remote store is waited for, so four."""
    n_cores = os.cpu_count() or 1
    return n_cores if store.root is not None else 4 * n_cores


def _clear_partial(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in folder.rglob(".*"):
        path.unlink()


def _save(path: Path, array: np.ndarray) -> None:
    with temporary_file(path) as (stream, temporary):
        np.save(stream, array, allow_pickle=False)
        stream.flush()
        os.replace(temporary, path)


def _unusable(rejected: Sequence[ImageRejected]) -> DataError:
    ids = [str(error.image_id) for error in rejected]
    named = "; ".join(f"{error.image_id}: {error.reason}" for error in rejected[:_MAX_NAMED])
    return DataError(
        f"expected every image of the snapshot to decode, got {len(ids)} that do not ({named}"
        f"{'; …' if len(ids) > _MAX_NAMED else ''}); ingest again, which leaves them out and says so",
        isic_ids=ids,
    )
