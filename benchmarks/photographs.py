"""Photographs to measure with: generated ones of a camera's size, or files of an archive's folder."""

import hashlib
import io
import random
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lesion_core.keys import archive_key
from lesion_core.stores.local import LocalStore
from lesion_core.synthetic.archive import FEWEST_IMAGES, write_archive

WIDTH, HEIGHT = 1024, 768
_GRAIN = 2.0  # grey levels of sensor noise: without it an enlarged image would be too easy to encode
_QUALITY = 92


def generated(n_images: int, seed: int = 7) -> list[bytes]:
    """Return JPEG files of 1024 × 768 pixels: synthetic lesions, enlarged, with the grain of a sensor."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder) / "archive", n_images=max(FEWEST_IMAGES, n_images), seed=seed)
        paths = sorted((Path(folder) / "archive").glob("*.jpg"))
        return [_photograph(path, rng) for path in paths if _is_whole(path)][:n_images]


def found(folder: Path, n_images: int, seed: int = 7) -> list[bytes]:
    """Return a sample of an archive's JPEG files."""
    paths = sorted(folder.rglob("*.jpg"))
    return [path.read_bytes() for path in random.Random(seed).sample(paths, min(n_images, len(paths)))]


def stored(photographs: list[bytes], n_images: int, root: Path) -> tuple[LocalStore, pd.DataFrame]:
    """Lay photographs into a store, in turn until there are ``n_images``, and return it with their table."""
    store, rows = LocalStore(root), []
    for number in range(n_images):
        body = photographs[number % len(photographs)]
        isic_id, sha256 = f"ISIC_{number:07d}", hashlib.sha256(body).hexdigest()
        rows.append((isic_id, archive_key(isic_id, sha256, "jpg"), sha256))
        store.write(rows[-1][1], body)
    return store, pd.DataFrame(rows, columns=["isic_id", "image_key", "sha256"])


def _photograph(path: Path, rng: np.random.Generator) -> bytes:
    with Image.open(path) as small:
        image = small.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    grain = rng.normal(0, _GRAIN, (HEIGHT, WIDTH, 3))
    stream = io.BytesIO()
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _is_whole(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False  # one of the faults that a synthetic archive has on purpose
    return True
