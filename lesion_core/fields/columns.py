"""The metadata fields as columns of stored tables: values as people know them, and the network's inputs."""

import numpy as np
import pandas as pd
import pyarrow as pa

from lesion_core.fields.kinds import AnyField, CategoryField
from lesion_core.fields.table import FIELDS, later_fields
from lesion_core.labels import UNKNOWN_CODE


def value_columns() -> list[pa.Field]:
    """Return the columns of a table of images: a number, or a word; null is unknown."""
    return [
        pa.field(field.name, pa.string() if isinstance(field, CategoryField) else pa.float32()) for field in FIELDS
    ]


def input_columns() -> list[pa.Field]:
    """Return the columns of ``splits.parquet``: a number, null unknown; or a code, 0 unknown."""
    return [
        pa.field(field.input, pa.int8(), nullable=False)
        if isinstance(field, CategoryField)
        else pa.field(field.input, pa.float32())
        for field in FIELDS
    ]


def encoded(field: AnyField, values: pd.Series) -> pd.Series | list[int]:
    """Return a value column as the column of the network's input."""
    if isinstance(field, CategoryField):
        return [field.encode(None if pd.isna(value) else str(value)) for value in values]
    return values


def metadata_inputs(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the metadata part of the network's inputs: float32 and int32, (n,) each."""
    return {field.input: rows[field.input].to_numpy(field.dtype) for field in FIELDS}


def with_later_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table that was stored before a later field was, with that field's columns: all unknown.

    Args:
        table: Any.
        schema: What columns it is to have, and where; other columns that it lacks stay missing.
    """
    later = {field.name: None for field in later_fields()} | {
        field.input: UNKNOWN_CODE if isinstance(field, CategoryField) else None for field in later_fields()
    }
    for place, column in enumerate(schema):
        if column.name in later and column.name not in table.column_names:
            table = table.add_column(
                min(place, table.num_columns), column, pa.array([later[column.name]] * len(table), column.type)
            )
    return table
