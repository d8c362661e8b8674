"""Records: the dataset as arrays on disk, opened without reading them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lesion_core.dataset.encoding import Shard
from lesion_core.dataset.manifest import read_table
from lesion_core.dataset.proof.leakage import QUARANTINED
from lesion_core.dataset.splitting.folds import splits_of_fold
from lesion_core.dataset.splitting.splits import SPLITS
from lesion_core.errors import ConfigError
from lesion_core.fields.columns import input_columns
from lesion_core.progress import ProgressCallback, ignore_progress
from lesion_core.refs import DatasetRef
from lesion_core.stores.folders import materialise
from lesion_core.stores.protocol import Store

SPLITS_NAME = "splits.parquet"
SPLITS_SCHEMA = pa.schema(
    [
        pa.field("isic_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("fold", pa.int8(), nullable=False),
        pa.field("class_index", pa.int8(), nullable=False),
        *input_columns(),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
    ]
)
SHARD_ROWS = 512


def shard_name(number: int) -> str:
    """Return the name of a shard within the dataset's folder."""
    return f"records/shard-{number:05d}.npy"


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """A dataset at hand.

    ``rows`` holds one row per image: ``isic_id``, ``group``, ``split`` (one of ``SPLITS`` or 'quarantined'),
    ``fold`` (int8, 0-based, -1 in none), ``class_index`` (int8, 0-based in ``CLASS_ORDER``), the network's metadata
    inputs (``age_years``: float32, NaN unknown; ``sex_code`` …: int8, 0 unknown), ``shard`` and ``row`` (int32):
    where its pixels lie.
    """

    ref: DatasetRef
    folder: Path
    rows: pd.DataFrame
    _shards: dict[int, Shard] = field(default_factory=dict, init=False, repr=False, compare=False)

    def split(self, name: str) -> pd.DataFrame:
        """Return the rows of one split, index reset.

        Raises:
            ConfigError: There is no such split.
        """
        if name not in (*SPLITS, QUARANTINED):
            raise ConfigError(f"expected a split of {', '.join(SPLITS)} or {QUARANTINED}, got {name!r}")
        return self.rows[self.rows["split"] == name].reset_index(drop=True)

    def for_fold(self, fold: int) -> "OpenDataset":
        """Return this dataset with the splits of a cross-validation: ``fold`` is test; see ``splits_of_fold``.

        Raises:
            ConfigError: There is no such fold.
        """
        return replace(self, rows=self.rows.assign(split=splits_of_fold(self.rows, fold)))

    def pixels(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the images of ``rows`` in their order, uint8 ``(len(rows), size_px, size_px, 3)``, RGB.

        Only these records are read, and each is checked against its own checksum.

        Raises:
            ManifestError: A shard is missing, cut short, or not what the dataset's reference says.
            ArtifactCorrupt: A record is not what was written; the message names shard and row.
        """
        return self.records(rows["shard"].to_numpy(), rows["row"].to_numpy())

    def records(self, shards: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return records by shard and place, int ``(n,)`` each; as ``pixels`` does, from any thread."""
        side = self.ref.size_px
        gathered = np.empty((len(shards), side, side, 3), np.uint8)
        for number in np.unique(shards):
            wanted = np.flatnonzero(shards == number)
            self.shard(int(number)).read(places[wanted], gathered, wanted)
        return gathered

    def shard(self, number: int) -> Shard:
        """Return one shard; its header is read once.

        Raises:
            ManifestError: As for ``pixels``.
        """
        if number not in self._shards:
            self._shards[number] = Shard.open(self.folder / shard_name(number), self.ref.size_px)
        return self._shards[number]


def open_dataset(
    store: Store, ref: DatasetRef, cache: Path, on_progress: ProgressCallback = ignore_progress
) -> OpenDataset:
    """Bring a dataset to this machine, unless it is here already, and open it.

    Args:
        store: Where it lives.
        ref: Which one.
        cache: Local folder for verified copies; unused where the store is a local directory.
        on_progress: As for ``materialise``.

    Raises:
        ArtifactNotFound: It is not in the store.
        ArtifactCorrupt: Its bytes are not those that were published.
        ManifestError: Its table breaks the schema.
    """
    folder = materialise(store, ref, cache, on_progress)
    return OpenDataset(ref=ref, folder=folder, rows=read_table(folder / SPLITS_NAME, SPLITS_SCHEMA))
