"""The ledger: the split that every picture of a dataset's name was ever given, with its evidence.

It outlives the pictures: when one is withdrawn or falls out of a sample, its patient and lesion keep their split,
because a model may have learnt from it.
"""

import pandas as pd
import pyarrow as pa

LEDGER_NAME = "ledger.parquet"
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("isic_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("patient_id", pa.string()),
        pa.field("lesion_id", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)


def empty_ledger() -> pd.DataFrame:
    """Return the ledger of a name without datasets."""
    return LEDGER_SCHEMA.empty_table().to_pandas()


def withdrawn_rows(ledger: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger's rows whose pictures are not in the manifest."""
    return ledger[~ledger["isic_id"].isin(manifest["isic_id"])].reset_index(drop=True)


def next_ledger(ledger: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger after a dataset: its rows, and those of withdrawn pictures, sorted by ``isic_id``.

    Args:
        ledger: The ledger before.
        manifest: Columns of ``LEDGER_SCHEMA``, with the splits now given.
    """
    rows = [manifest[LEDGER_SCHEMA.names], withdrawn_rows(ledger, manifest)]
    return pd.concat([part for part in rows if len(part)]).sort_values("isic_id", ignore_index=True)
