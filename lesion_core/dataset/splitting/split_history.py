"""The split history: the split and fold that every image of a dataset's name was ever given, with its evidence.

It outlives the images: when one is withdrawn or falls out of a sample, its patient and lesion keep their split,
because a model may have learnt from it.
"""

import pandas as pd
import pyarrow as pa

from lesion_core.dataset.manifest import read_table
from lesion_core.parquet import read_schema

SPLIT_HISTORY_NAME = "ledger.parquet"
SPLIT_HISTORY_SCHEMA = pa.schema(
    [
        pa.field("isic_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("fold", pa.int8()),  # null: gone before there were folds
        pa.field("reason", pa.string()),  # why it is quarantined, else null
        pa.field("test_name", pa.string()),  # the newest test split that it is or was in, else null
        pa.field("patient_id", pa.string()),
        pa.field("lesion_id", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)
# What the split history lacked at first: such a dataset's splits are kept, its images get their folds now.
_FIRST_SCHEMA = pa.schema(
    [field for field in SPLIT_HISTORY_SCHEMA if field.name not in ("fold", "reason", "test_name")]
)


def empty_split_history() -> pd.DataFrame:
    """Return the split history of a name without datasets."""
    return SPLIT_HISTORY_SCHEMA.empty_table().to_pandas()


def parse_split_history(body: bytes) -> pd.DataFrame:
    """Return the split history in a file's bytes; ``fold`` is null throughout where there were no folds yet.

    Raises:
        ManifestError: It is none.
    """
    if read_schema(body).equals(_FIRST_SCHEMA):
        rows = read_table(body, _FIRST_SCHEMA)
        return rows.assign(fold=None, reason=None, test_name=None)[SPLIT_HISTORY_SCHEMA.names]
    return read_table(body, SPLIT_HISTORY_SCHEMA)


def past_folds(history: pd.DataFrame) -> dict[str, int]:
    """Return the fold of each image that was ever given one, by ``isic_id``."""
    known = history[history["fold"].notna()]
    return dict(zip(known["isic_id"], known["fold"].astype(int), strict=True))


def withdrawn_rows(history: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the split history's rows whose images are not in the manifest."""
    return history[~history["isic_id"].isin(manifest["isic_id"])].reset_index(drop=True)


def next_split_history(history: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the split history after a dataset: its rows, and those of withdrawn images, sorted by ``isic_id``.

    Args:
        history: The split history before.
        manifest: Columns of ``SPLIT_HISTORY_SCHEMA``, with the splits now given.
    """
    rows = [manifest[SPLIT_HISTORY_SCHEMA.names], withdrawn_rows(history, manifest)]
    joined = pd.concat([part for part in rows if len(part)]).sort_values("isic_id", ignore_index=True)
    return joined.astype({"fold": "Int8"})
