"""Reading of parquet tables, the only place: in the calling thread, so that no thread is left when a process ends.

``pyarrow.parquet.read_table`` and ``pandas.read_parquet`` read with threads of Arrow's own. The last hold on what
they read from (a Python buffer or file) may lie with such a thread when the table has long been returned, and to let
go of it takes Python's global lock. Where the interpreter ends meanwhile, CPython up to 3.13 ends a thread that asks
for the lock, in the middle of a C++ destructor: the process aborts (exit status 134) after all its work is done. From
3.14 on it hangs. It depends on the load of the machine, and no version of pyarrow is known to be free of it:
https://github.com/apache/arrow/issues/34314, https://github.com/apache/arrow/issues/50482. Tables here are small, and
threads gain nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def read_table(source: Path | bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table in a parquet file, or in its bytes.

    Args:
        source: The file or its bytes.
        columns: Names of those that are wanted, in this order; all where it is left out.

    Raises:
        pyarrow.ArrowException: It is no parquet, or lacks one of the columns.
        OSError: The file cannot be read.
    """
    with _opened(source) as file:
        if columns is None:
            return file.read(use_threads=False)
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise pa.ArrowInvalid(
                f"expected the columns {', '.join(columns)}, got {', '.join(file.schema_arrow.names)}"
            )
        return file.read(columns=list(columns), use_threads=False).select(list(columns))


def read_frame(source: Path | bytes, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a table as pandas reads it; arguments and errors as of ``read_table``."""
    return read_table(source, columns).to_pandas(use_threads=False)


def read_schema(source: Path | bytes) -> pa.Schema:
    """Return the schema of a table; errors as of ``read_table``."""
    with _opened(source) as file:
        return file.schema_arrow


def _opened(source: Path | bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else str(source), pre_buffer=False)
