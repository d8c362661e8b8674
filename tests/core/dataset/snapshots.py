"""Small snapshots with real images, stored as ingestion leaves them."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.ndimage import gaussian_filter

from lesion_core.isic.snapshot import IMAGES_NAME, IMAGES_SCHEMA
from lesion_core.keys import archive_key, digest_of, snapshot_key
from lesion_core.labels import CLASS_ORDER
from lesion_core.refs import SnapshotRef
from lesion_core.stores.folders import publish
from lesion_core.stores.protocol import Store
from lesion_core.stores.references import ref_from_folder
from lesion_core.types import LICENCE_ORDER


def draw(seed: int, width: int = 96, height: int = 72) -> np.ndarray:
    """A pale field with structure at several scales and a dark spot, uint8 ``(height, width, 3)``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    spot = np.hypot((x - rng.uniform(0.3, 0.7) * width) / width, (y - rng.uniform(0.3, 0.7) * height) / height)
    skin = 190 - 110 * (spot < rng.uniform(0.12, 0.3))
    structure = sum(
        weight * gaussian_filter(rng.normal(size=(height, width)), scale) * scale
        for weight, scale in ((30, 1), (60, 3), (90, 8))
    )
    grey = np.clip(skin + structure, 0, 255)
    tint = np.array([1.0, 0.82, 0.74]) + rng.uniform(-0.05, 0.05, 3)
    return np.clip(grey[..., None] * tint, 0, 255).astype(np.uint8)


def encode(pixels: np.ndarray, format_: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format_, **options)
    return stream.getvalue()


def image_row(number: int, data: bytes, **changes: Any) -> dict[str, Any]:
    """Return one row of ``images.parquet`` for an image's bytes."""
    isic_id = changes.get("isic_id", f"ISIC_{number:07d}")
    sha256 = hashlib.sha256(data).hexdigest()
    return {
        "isic_id": isic_id,
        "sha256": sha256,
        "image_key": archive_key(isic_id, sha256, "png"),
        "n_bytes": len(data),
        "width": 96,
        "height": 72,
        "diagnosis": str(CLASS_ORDER[number % 2]),
        "age_years": float(20 + number % 60),
        "sex": ("female", "male", None)[number % 3],
        "site": ("head/neck", None)[number % 2],
        "lesion_id": None,
        "patient_id": None,
        "licence": "CC-0",
        "attribution": "Anonymous",
        "confirm_type": "histopathology",
        "is_synthetic": False,
        "raw_metadata": "{}",
        **changes,
    }


def frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as ``read_images`` returns them, unchecked."""
    return pa.Table.from_pylist(list(rows), schema=IMAGES_SCHEMA).to_pandas()


def store_snapshot(
    store: Store, images: Iterable[tuple[dict[str, Any], bytes]], folder: Path, *, name: str = "small"
) -> SnapshotRef:
    """Store the bytes and publish their snapshot; ``folder`` is scratch."""
    rows = []
    for row, data in images:
        store.write(row["image_key"], data)
        rows.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=IMAGES_SCHEMA), folder / IMAGES_NAME)
    inputs = {"rows": [[row["isic_id"], row["sha256"], row["lesion_id"], row["patient_id"]] for row in rows]}
    key = snapshot_key(name, digest_of(inputs))
    summary = {
        "n_images": len(rows),
        "n_excluded": 0,
        "licence": max((row["licence"] for row in rows), key=LICENCE_ORDER.index),
        "synthetic": any(row["is_synthetic"] for row in rows),
    }
    published = publish(store, key, folder, step="ingest", step_version=1, inputs=inputs, summary=summary)
    return ref_from_folder(SnapshotRef, key, *published)


def simple_images(numbers: Iterable[int], **changes: Any) -> list[tuple[dict[str, Any], bytes]]:
    """Return unrelated images, one lesion each."""
    drawn = ((number, encode(draw(number))) for number in numbers)
    return [(image_row(number, data, **changes), data) for number, data in drawn]
