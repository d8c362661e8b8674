"""A dataset's images as one model sees them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lesion_core.dataset.manifest import MANIFEST_NAME
from lesion_core.dataset.records import OpenDataset
from lesion_core.errors import ArtifactCorrupt
from lesion_core.images import Preprocessing, preprocess
from lesion_core.parquet import read_frame
from lesion_core.stores.protocol import Store


class ModelImages:
    """A dataset's images as one model sees them: its records where they fit, else the archive's files.

    Args:
        dataset: The dataset.
        store: Where the archive's files are.
        preprocessing: The model's own.
    """

    def __init__(self, dataset: OpenDataset, store: Store, preprocessing: Preprocessing) -> None:
        self._dataset, self._store, self._preprocessing = dataset, store, preprocessing
        recorded = Preprocessing(size_px=dataset.ref.size_px, colour_constancy=dataset.ref.colour_constancy)
        self._has_records = preprocessing == recorded
        self._files = None if self._has_records else read_files(dataset.folder)

    def pixels(self, rows: pd.DataFrame) -> np.ndarray:
        """Return uint8 (n, s, s, 3) of these rows, in their order.

        Raises:
            ArtifactNotFound: A file is no longer in the archive.
            ArtifactCorrupt: A file is not the one the dataset was made from.
        """
        if self._files is None:
            return self._dataset.pixels(rows)
        return np.stack(list(self._decoded(rows, self._files)))

    def _decoded(self, rows: pd.DataFrame, files: pd.DataFrame) -> Iterator[np.ndarray]:
        for isic_id in rows["isic_id"]:
            file = files.loc[isic_id]
            body = self._store.read(file["image_key"])
            actual = hashlib.sha256(body).hexdigest()
            if actual != file["sha256"]:
                raise ArtifactCorrupt(
                    f"expected the bytes of {isic_id} that the dataset was made from (sha256 {file['sha256']}), got "
                    f"{actual}; restore {file['image_key']} from a backup, or ingest it again",
                    key=file["image_key"],
                    expected=file["sha256"],
                    actual=actual,
                )
            yield preprocess(body, self._preprocessing, image_id=str(isic_id))


def read_files(folder: Path) -> pd.DataFrame:
    """Return key and digest of every image's file, indexed by isic_id."""
    manifest = read_frame(folder / MANIFEST_NAME, columns=["isic_id", "image_key", "sha256"])
    return manifest.set_index("isic_id")
